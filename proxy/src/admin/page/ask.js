// The prompt box and "explain".

import { by, fill, make, named } from "./dom.js";
import { duration, header, isolated, visible } from "./format.js";
import { ask, readEvents } from "./stream.js";

/** Said where a browser gets no answer at all, which it tells by a TypeError with words of its own. */
const UNREACHED = "Crucible was not reached.";

let stop = null;

/** Fills the list of models, once per change. */
export async function listModels() {
  const answer = await ask("v1/models").catch(() => null);
  if (!answer?.ok) return;
  const { data } = await answer.json();
  const chosen = by("ask-model").value;
  fill(by("ask-model"), ...data.map(model => make("option", { value: model.id }, isolated(model.id))));
  if (chosen) by("ask-model").value = chosen;
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? "HTTP " + response.status;
}

async function send() {
  // Of two questions the last one is answered here.
  stop?.abort();
  const mine = new AbortController();
  stop = mine;
  const say = text => { if (stop === mine) by("ask-speed").textContent = text; };
  by("ask-stop").disabled = false;
  by("ask-answer").textContent = "";
  say("asking");
  const began = performance.now();
  let first = null, last = null, pieces = 0, usage = null;
  try {
    const response = await ask("v1/chat/completions", {
      method: "POST", signal: mine.signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: by("ask-model").value, stream: true, stream_options: { include_usage: true },
        messages: [{ role: "user", content: by("ask-text").value }] }),
    });
    if (!response.ok) throw new Error(await failure(response));
    const told = name => header(response.headers.get("x-crucible-" + name));
    const where = isolated(told("engine") + "/" + told("model")) + " (" + told("reason") + ")";
    await readEvents(response, (name, data) => {
      if (data === "[DONE]" || stop !== mine) return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const delta = event.choices?.[0]?.delta ?? {};
      const text = delta.content || delta.reasoning_content;
      if (!text) return;
      last = performance.now();
      first ??= last;
      pieces += 1;
      by("ask-answer").append(text);
      say(where + ", first token after " + duration((first - began) / 1000));
    });
    const tokens = usage?.completion_tokens ?? pieces;
    const speed = tokens > 1 && last > first ? ", " + ((tokens - 1) / ((last - first) / 1000)).toFixed(1) + " tok/s" : "";
    say(where + ", " + (first == null ? "no token came" : "first token after " + duration((first - began) / 1000) +
      ", " + tokens + " tokens" + speed));
  } catch (error) {
    say(error.name === "AbortError" ? "stopped" : error instanceof TypeError ? UNREACHED : visible(error.message));
  }
  if (stop === mine) by("ask-stop").disabled = true;
}

function candidate(one) {
  const predicted = one.predicted_first_token_s == null ? ""
    : ", first token predicted after " + duration(one.predicted_first_token_s);
  return make("li", {}, make("strong", {}, named(one.engine + "/" + one.model)), " " + one.reason + predicted);
}

async function explain() {
  const text = by("explain-text").value.trim();
  const body = text.startsWith("{") ? text : JSON.stringify({ model: text, messages: [{ role: "user", content: "hi" }] });
  const response = await ask("crucible/explain", {
    method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => null);
  if (!response?.ok) {
    return fill(by("explained"), make("p", { class: "bad" }, response ? visible(await failure(response)) : UNREACHED));
  }
  const said = await response.json();
  const defaults = Object.entries(said.defaults ?? {}).map(([name, from]) => name + " = " + from.value + " (" + from.from + ")");
  return fill(by("explained"),
    make("p", {}, make("strong", {}, named(said.engine + "/" + said.model)), ": " + said.reason),
    make("ol", {}, ...said.candidates.map(candidate)),
    make("p", { class: "muted" }, "context: " + said.context.needed + " needed, " + (said.context.given ?? "none") + " given"),
    make("p", { class: "muted" }, defaults.length ? "filled in: " + defaults.join(", ") : "nothing is filled in"));
}

/** Listens to both forms. */
export function listen() {
  by("ask").addEventListener("submit", event => { event.preventDefault(); send(); });
  by("ask-stop").addEventListener("click", () => stop?.abort());
  by("explain").addEventListener("submit", event => { event.preventDefault(); explain(); });
}
