// The inspector: its switch, the banner of every page while it is on, the kept requests and one of them in full.

import { by, fill, make } from "./dom.js";
import { clock, count, duration, share, size } from "./format.js";
import { ask } from "./stream.js";

/** The most characters of a text that a page draws; the command `crucible inspect show` has all. */
const DRAWN = 200_000;

/** The rows on the page by the number of their request. */
const rows = new Map();
let chosen = null, session = null, reading = false, again = false;

async function failure(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? "HTTP " + response.status;
}

async function turn(minutes) {
  const response = await ask("crucible/inspect", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ minutes }) });
  by("inspector-state").textContent = response.ok ? "" : await failure(response);
}

function row(request) {
  const end = request.ended;
  const where = end.engine ? end.engine + "/" + end.model : "not routed";
  const numbers = [end.prompt_tokens == null ? "" : count(end.prompt_tokens) + " tokens", share(end),
    count(end.output_tokens) + " answered", duration(end.took_s)].filter(Boolean).join(" · ");
  const state = end.outcome === "ok" ? "" : end.status + " " + end.outcome;
  const button = make("button", { type: "button", class: "pick" },
    clock(request.at_ms) + " " + request.client + " to " + where);
  button.addEventListener("click", () => choose(request.request_id, button));
  return make("li", {}, button, " ", make("span", { class: "muted" }, numbers), " ",
    make("span", { class: "bad" }, state), make("p", { class: "change" }, request.change));
}

function listRows(list) {
  if (list.session !== session) {
    session = list.session;
    clear();
  }
  const kept = new Set(list.requests.map(request => request.number));
  for (const [number, element] of rows) {
    if (kept.has(number)) continue;
    element.remove();
    rows.delete(number);
  }
  // What has ended and is compared does not change any more; the newest stands first.
  for (const request of list.requests) {
    const whole = request.ended && (request.ended.turn == null || request.change);
    if (!whole || rows.has(request.number)) continue;
    const element = row(request);
    rows.set(request.number, element);
    by("inspected").prepend(element);
  }
  const running = list.requests.filter(request => !request.ended).length;
  by("inspector-state").textContent = rows.size + " of at most " + list.most_requests + " requests are kept, " +
    size(list.kept_bytes) + " of " + size(list.most_bytes) + (running ? "; " + running + " more are answered now" : "") +
    (list.dropped ? "; " + list.dropped + " had to make room" : "") + ".";
}

function clear() {
  rows.clear();
  chosen = null;
  by("inspected").replaceChildren();
  by("inspected-one").replaceChildren();
}

/** Reads the list; a change while it is read makes it be read once more. */
async function list() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  const response = await ask("crucible/inspect").catch(() => null);
  if (response?.ok) listRows(await response.json());
  reading = false;
  if (again) {
    again = false;
    list();
  }
}

function text(title, kept) {
  if (kept == null) return null;
  const whole = kept.end == null ? kept.text : kept.text + "\n[... the middle is not kept ...]\n" + kept.end;
  const drawn = whole.length > DRAWN ? whole.slice(0, DRAWN) + "\n[... crucible inspect show has the rest ...]" : whole;
  return folded(title + ", " + size(kept.bytes), drawn);
}

function folded(title, content, ...more) {
  return make("details", {}, make("summary", {}, title), ...more,
    make("pre", { class: "kept", tabindex: "0", "aria-label": title }, content));
}

function changes(difference) {
  const said = difference.changes.map(change => {
    const place = change.character == null ? "" : " at character " + change.character;
    const item = make("li", {}, make("strong", {}, change.piece), " " + change.kind + place);
    if (change.kind !== "added") item.append(make("p", { class: "change" }, make("del", {}, change.before)));
    if (change.kind !== "removed") item.append(make("p", { class: "change" }, make("ins", {}, change.after)));
    return item;
  });
  const settings = difference.settings.map(setting => make("li", {}, setting));
  return make("ul", { class: "list" }, ...said, ...settings);
}

function compared(request) {
  const difference = request.difference;
  const title = make("h4", {}, "Since the turn before");
  if (!difference) {
    return [title, make("p", {}, request.change || "The request belongs to no conversation that can be compared.")];
  }
  const broken = difference.broken_at;
  const place = broken?.character == null ? "" : ", character " + broken.character;
  const price = broken
    ? make("p", { class: "warn" }, "The engine's cache broke at " + broken.piece + place + ": about " +
      count(broken.tokens_before) + " tokens before it can be reused, about " + count(broken.tokens_read_again) +
      " are read again, about " + count(broken.tokens_new) + " are new.")
    : make("p", { class: "good" }, "The prompt goes on from that turn: an engine that still has it reads only what is new.");
  const bodies = difference.compared === "sent" ? "as sent to the engine" : "as the client sent it";
  return [title, make("p", { class: "change" }, difference.summary),
    make("p", { class: "muted" }, "Compared with " + difference.previous_id + ", " + bodies + "."), price,
    request.fix ? make("p", {}, "What to do: " + request.fix) : null, changes(difference)];
}

function attempt(one) {
  const said = [...one.notes, one.defaults.length ? "filled in: " + one.defaults.join(", ") : "",
    one.error ? "failed: " + one.error : ""].filter(Boolean);
  return make("div", {}, text("Sent to " + one.engine + "/" + one.model + " " + one.path, one.body),
    ...said.map(note => make("p", { class: "muted" }, note)));
}

function curl(command) {
  if (command == null) return make("p", { class: "muted" }, "The body is too long to be kept whole, so no command can send it again.");
  const copy = make("button", { type: "button" }, "Copy");
  const said = make("span", { role: "status" });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      said.textContent = " copied";
    } catch {
      said.textContent = " the browser does not allow it; select the text";
    }
  });
  return folded("As a command for curl", command, make("p", {}, copy, said));
}

function shown(request) {
  const answer = request.assembled;
  const heading = make("h3", { tabindex: "-1" }, request.asked + " by " + request.client);
  const parts = [
    heading,
    make("p", { class: "muted" }, "Request " + request.request_id + ", " + clock(request.at_ms)),
    ...request.notes.map(note => make("p", { class: "muted" }, note)),
    ...compared(request),
    make("h4", {}, "Answer"),
    answer.thinking ? folded("Thinking", answer.thinking) : null,
    answer.text ? make("pre", { class: "kept", tabindex: "0", "aria-label": "Answer" }, answer.text.slice(0, DRAWN)) : null,
    ...answer.calls.map(call => make("p", {}, "calls ", make("code", {}, call.name + "(" + call.arguments.slice(0, DRAWN) + ")"))),
    answer.error ? make("p", { class: "bad" }, answer.error) : null,
    make("h4", {}, "Bodies"),
    text("As received", request.received) ?? make("p", { class: "muted" }, "No body was read of this request."),
    ...request.attempts.map(attempt),
    text("Answer as it came", request.answer),
    curl(request.curl),
  ];
  by("inspected-one").replaceChildren(...parts.filter(Boolean));
  heading.focus();
}

async function choose(id, button) {
  chosen?.removeAttribute("aria-current");
  chosen = button;
  button.setAttribute("aria-current", "true");
  const response = await ask("crucible/inspect/" + id.split("/").map(encodeURIComponent).join("/"));
  if (response.ok) return shown(await response.json());
  return fill(by("inspected-one"), make("p", { class: "bad" }, await failure(response)));
}

/** Shows whether requests are kept, on every page, and the list where this page may read it. */
export function showInspector(status) {
  const banner = by("inspector-banner");
  banner.hidden = !status.on;
  const end = status.on ? clock(status.ends_at_ms) : "";
  const said = "The inspector is on until " + end + ": requests are kept with their bodies, in memory only.";
  const link = status.here ? [make("a", { href: "#inspector-title" }, "Look at them")] : [];
  if (status.on) fill(banner, said + " ", ...link);
  by("inspector-section").hidden = !status.here;
  by("inspector-off").hidden = !status.on;
  by("inspector-on").textContent = status.on ? "Begin the time anew" : "Keep requests";
  if (!status.here) return;
  if (status.on) {
    list();
  } else {
    clear();
    session = null;
    by("inspector-state").textContent = "";
  }
}

/** Listens to the switch. */
export function listenToSwitch() {
  by("inspector-switch").addEventListener("submit", event => {
    event.preventDefault();
    turn(Number(by("inspector-minutes").value));
  });
  by("inspector-off").addEventListener("click", () => turn(0));
}
