// The prompt box and "explain".

import { by, fill, make } from "./dom.js";
import { duration } from "./format.js";
import { ask, readEvents } from "./stream.js";

let stop = null;

/** Fills the list of models, once per change. */
export async function listModels() {
  const answer = await ask("v1/models");
  if (!answer.ok) return;
  const { data } = await answer.json();
  const chosen = by("ask-model").value;
  fill(by("ask-model"), ...data.map(model => make("option", { value: model.id }, model.id)));
  if (chosen) by("ask-model").value = chosen;
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? "HTTP " + response.status;
}

async function send() {
  stop = new AbortController();
  by("ask-stop").disabled = false;
  by("ask-answer").textContent = "";
  by("ask-speed").textContent = "asking";
  const began = performance.now();
  let first = null, last = null, pieces = 0, usage = null;
  try {
    const response = await ask("v1/chat/completions", {
      method: "POST", signal: stop.signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: by("ask-model").value, stream: true, stream_options: { include_usage: true },
        messages: [{ role: "user", content: by("ask-text").value }] }),
    });
    if (!response.ok) throw new Error(await failure(response));
    const where = response.headers.get("x-crucible-engine") + "/" + response.headers.get("x-crucible-model") +
      " (" + response.headers.get("x-crucible-reason") + ")";
    await readEvents(response, (name, data) => {
      if (data === "[DONE]") return;
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
      by("ask-speed").textContent = where + ", first token after " + duration((first - began) / 1000);
    });
    const tokens = usage?.completion_tokens ?? pieces;
    const speed = tokens > 1 && last > first ? ", " + ((tokens - 1) / ((last - first) / 1000)).toFixed(1) + " tok/s" : "";
    by("ask-speed").textContent = where + ", first token after " + duration(first == null ? null : (first - began) / 1000) +
      ", " + tokens + " tokens" + speed;
  } catch (error) {
    by("ask-speed").textContent = error.name === "AbortError" ? "stopped" : error.message;
  }
  by("ask-stop").disabled = true;
}

function candidate(one) {
  const predicted = one.predicted_first_token_s == null ? ""
    : ", first token predicted after " + duration(one.predicted_first_token_s);
  return make("li", {}, make("strong", {}, one.engine + "/" + one.model), " " + one.reason + predicted);
}

async function explain() {
  const text = by("explain-text").value.trim();
  const body = text.startsWith("{") ? text : JSON.stringify({ model: text, messages: [{ role: "user", content: "hi" }] });
  const response = await ask("crucible/explain", {
    method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (!response.ok) return fill(by("explained"), make("p", { class: "bad" }, await failure(response)));
  const said = await response.json();
  const defaults = Object.entries(said.defaults ?? {}).map(([name, from]) => name + " = " + from.value + " (" + from.from + ")");
  return fill(by("explained"),
    make("p", {}, make("strong", {}, said.engine + "/" + said.model), ": " + said.reason),
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
