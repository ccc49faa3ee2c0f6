// The inspector: its switch, the banner of every page while it is on, the kept requests and one of them in full.

import { by, fill, make, named } from "./dom.js";
import { client, clock, count, duration, ending, share, size, visible } from "./format.js";
import { ask } from "./stream.js";

/** The most characters of a text that a page draws; the command `crucible inspect show` has all. */
const DRAWN = 200_000;

/** The rows on the page by the number of their request. */
const rows = new Map();
let chosen = null, session = null, reading = false, again = false;
/** Grows with each drop of what is shown: an answer that was asked for before it comes too late. */
let era = 0;
/** Grows with each choice of a request: of two, the last one is shown. */
let choice = 0;
/** The timer of the end that the instance named, by which the texts go even if nobody says so. */
let end = null;

async function failure(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? "HTTP " + response.status;
}

async function turn(minutes) {
  let said = "";
  try {
    const response = await ask("crucible/inspect", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ minutes }) });
    if (!response.ok) said = await failure(response);
  } catch {
    said = "The inspector was not switched: Crucible was not reached.";
  }
  by("inspector-state").textContent = said;
}

function row(request) {
  const end = request.ended;
  const where = end.engine ? end.engine + "/" + end.model : "not routed";
  const state = end.outcome === "ok" ? "" : end.status + " " + end.outcome;
  const style = ending(end) === "failed" ? "bad" : "muted";
  const button = make("button", { type: "button", class: "pick" },
    clock(request.at_ms) + " ", named(client(request.client)), " to ", named(where));
  button.addEventListener("click", () => choose(request.number, button));
  return make("li", {}, button, " ", make("span", { class: "muted" }, costs(end)), " ",
    make("span", { class: style }, state), make("p", { class: "change" }, request.change));
}

/** Tokens and time of a request that has ended. */
function costs(end) {
  const tokens = end.engine ? [end.prompt_tokens == null ? "" : count(end.prompt_tokens) + " tokens", share(end),
    count(end.output_tokens) + " answered"] : [];
  return [...tokens, duration(end.took_s)].filter(Boolean).join(" · ");
}

function listRows(list) {
  if (list.session !== session) {
    clear();
    session = list.session;
  }
  if (!list.on) return;
  clearTimeout(end);
  end = setTimeout(dropInspected, 1000 * list.remaining_s);
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
    size(list.kept_bytes) + " of " + size(list.most_bytes) + (running ? "; " + running + " more wait or are answered" : "") +
    (list.dropped ? "; " + list.dropped + " had to make room" : "") + ".";
}

function clear() {
  era += 1;
  clearTimeout(end);
  rows.clear();
  chosen = null;
  session = null;
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
  const begun = era;
  try {
    const response = await ask("crucible/inspect");
    const read = response.ok ? await response.json() : null;
    if (read && begun === era) listRows(read);
  } catch {
    // The stream of events ends too where Crucible is gone, and then nothing stays on the page.
  } finally {
    reading = false;
  }
  if (again) {
    again = false;
    list();
  }
}

function text(title, kept) {
  if (kept == null) return null;
  const whole = kept.end == null ? kept.text : kept.text + "\n[... the rest is not kept ...]\n" + kept.end;
  const drawn = whole.length > DRAWN ? whole.slice(0, DRAWN) + "\n[... crucible inspect show has the rest ...]" : whole;
  const odd = kept.base64 == null ? null : make("p", { class: "muted" },
    "It is no text in UTF-8: crucible inspect show writes its bytes.");
  return folded(title + ", " + size(kept.bytes), drawn, odd);
}

/** A text behind its title, in which nothing is hidden. */
function folded(title, content, ...more) {
  const shown = visible(content);
  const escaped = shown === content ? null : make("p", { class: "muted" },
    "Characters that hide or turn text stand as escapes, such as \\u202e; crucible inspect show writes them as they are.");
  return make("details", {}, make("summary", {}, named(title)), escaped, ...more,
    make("pre", { class: "kept", tabindex: "0", "aria-label": visible(title) }, shown));
}

function changes(difference) {
  const said = difference.changes.map(change => {
    const place = change.character == null ? "" : " at character " + change.character;
    const item = make("li", {}, make("strong", {}, named(change.piece)), " " + change.kind + place);
    if (change.kind !== "added") item.append(make("p", { class: "change" }, make("del", {}, change.before)));
    if (change.kind !== "removed") item.append(make("p", { class: "change" }, make("ins", {}, change.after)));
    return item;
  });
  const more = difference.changed + difference.added + difference.removed - said.length;
  if (more > 0) said.push(make("li", {}, "and " + more + " more"));
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
  const warning = difference.template_warning;
  const price = broken
    ? make("p", { class: "warn" }, "The engine's cache broke at " + broken.piece + place + ": about " +
      count(broken.tokens_before) + " tokens before it can be reused, about " + count(broken.tokens_read_again) +
      " are read again, about " + count(broken.tokens_new) + " are new.")
    : warning ? null : make("p", { class: "good" }, "The prompt goes on from that turn: an engine that still has it reads only what is new.");
  const bodies = difference.compared === "sent" ? "as sent to the engine" : "as the client sent it";
  return [title, make("p", { class: "change" }, difference.summary),
    make("p", { class: "muted" }, "Compared with " + difference.previous_id + ", " + bodies + "."), price,
    warning ? make("p", { class: "warn" }, warning) : null,
    request.fix ? make("p", {}, "What to do: " + request.fix) : null, changes(difference)];
}

/** What was sent to one engine and what it said, with a heading where there are several. */
function attempt(one, at, all) {
  const said = [...one.notes, one.defaults.length ? "filled in: " + one.defaults.join(", ") : "",
    one.error ? "failed: " + one.error : ""].filter(Boolean);
  const engine = one.engine + "/" + one.model;
  const title = all.length === 1 ? null : make("h5", {}, "Attempt " + (at + 1) + " of " + all.length + ": ", named(engine));
  return make("div", {}, title, text("Sent to " + engine + " " + one.path, one.body),
    ...said.map(note => make("p", { class: "muted" }, visible(note))),
    text("Answer of " + engine + " as it came, " + one.status, one.answer),
    one.answer_passed_on ? make("p", { class: "muted" }, "answered " + one.status + ", passed on as it came") : null,
    one.status == null && one.error ? make("p", { class: "muted" }, "no answer came") : null);
}

/** How a request ended, and what it cost. */
function result({ ended: end }) {
  if (!end) return make("p", { class: "muted" }, "It is answered now.");
  const by = end.engine ? [" by ", named(end.engine + "/" + end.model)] : [];
  const turn = end.turn == null ? "" : "turn " + end.turn + " · ";
  const style = { answered: {}, left: { class: "muted" }, failed: { class: "bad" } }[ending(end)];
  return make("p", style, end.status + " " + end.outcome, ...by, " · " + turn + costs(end));
}

/** The headers, of which values that might be secrets are not kept. */
function headers(all) {
  if (!all.length) return null;
  return folded("Headers, " + all.length, all.map(({ name, value }) => name + ": " + (value ?? "...")).join("\n"));
}

const sentence = text => text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

function curl({ curl: command, curl_note: note, received }) {
  const why = note ?? (received ? "The body is too long to be kept whole, so no command can send it again."
    : "The body was not read, so no command can send it again.");
  if (command == null) return make("p", { class: "muted" }, sentence(why));
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
  return folded("As a command for curl", command, make("p", {}, copy, said),
    note ? make("p", { class: "muted" }, sentence(note)) : null);
}

function shown(request) {
  const answer = request.assembled;
  const heading = make("h3", { tabindex: "-1" }, named(request.asked), " by ", named(client(request.client)));
  const parts = [
    heading,
    make("p", { class: "muted" }, "Request ", named(request.request_id), ", " + clock(request.at_ms)),
    result(request),
    ...request.notes.map(note => make("p", { class: "muted" }, visible(note))),
    ...compared(request),
    make("h4", {}, "Answer"),
    answer.thinking ? folded("Thinking", answer.thinking.slice(0, DRAWN)) : null,
    answer.text ? make("pre", { class: "kept", tabindex: "0", "aria-label": "Answer" },
      visible(answer.text.slice(0, DRAWN))) : null,
    ...answer.calls.map(call => make("p", {}, "calls ",
      make("code", {}, visible(call.name + "(" + call.arguments.slice(0, DRAWN) + ")")))),
    answer.error ? make("p", { class: "bad" }, visible(answer.error)) : null,
    answer.thinking || answer.text || answer.calls.length || answer.error ? null : make("p", { class: "muted" }, "No text."),
    make("h4", {}, "Bodies"),
    headers(request.headers),
    text("As received", request.received) ?? make("p", { class: "muted" }, "No body was read of this request."),
    ...request.attempts.map(attempt),
    text("Answer as it went to the client", request.answer),
    curl(request),
  ];
  by("inspected-one").replaceChildren(...parts.filter(Boolean));
  heading.focus();
}

/** Opens the request of a number: clients choose ids, so that several requests may have one. */
async function choose(number, button) {
  chosen?.removeAttribute("aria-current");
  chosen = button;
  button.setAttribute("aria-current", "true");
  const [begun, mine] = [era, choice += 1];
  const late = () => begun !== era || mine !== choice;
  try {
    const response = await ask("crucible/inspect/" + encodeURIComponent("#" + number));
    const read = response.ok ? await response.json() : await failure(response);
    if (late()) return;
    if (response.ok) shown(read);
    else fill(by("inspected-one"), make("p", { class: "bad" }, read));
  } catch {
    if (!late()) fill(by("inspected-one"), make("p", { class: "bad" }, "Crucible was not reached."));
  }
}

/** Takes every text of a kept request off the page: at the end, after the switch, and when the stream is lost. */
export function dropInspected() {
  clear();
  by("inspector-banner").hidden = true;
  by("inspector-off").hidden = true;
  by("inspector-on").textContent = "Keep requests";
  by("inspector-state").textContent = "";
}

/** Shows whether requests are kept, on every page, and the list where this page may read it. */
export function showInspector(status) {
  by("inspector-section").hidden = !status.here;
  if (!status.on) return dropInspected();
  const banner = by("inspector-banner");
  banner.hidden = false;
  const link = status.here ? [make("a", { href: "#inspector-title" }, "Look at them")] : [];
  fill(banner, "The inspector is on until " + clock(status.ends_at_ms) +
    ": requests are kept with their bodies, in memory only. ", ...link);
  by("inspector-off").hidden = false;
  by("inspector-on").textContent = "Begin the time anew";
  if (status.here) list();
}

/** Listens to the switch. */
export function listenToSwitch() {
  by("inspector-switch").addEventListener("submit", event => {
    event.preventDefault();
    turn(Number(by("inspector-minutes").value));
  });
  by("inspector-off").addEventListener("click", () => turn(0));
}
