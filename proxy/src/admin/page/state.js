// The state of this moment: tiles, requests, pools, engines, broken prefixes.

import { by, fill, make, named } from "./dom.js";
import { tokenRates } from "./rates.js";
import { bytes, client, count, duration, isolated, phase, visible, wait } from "./format.js";

/** The most waiting requests that are listed one by one. */
const SHOWN = 8;

const rates = tokenRates();

/** The last state with the moment at which it came. */
let last = null;

function tile(name, value, style = "") {
  return make("div", {}, make("dt", {}, name), make("dd", style ? { class: style } : {}, value));
}

/** Where a request goes, why, and who asks. */
function subject(place, reason, who) {
  return make("span", {}, named(place), reason ? " (" + reason + ")" : "",
    who ? make("span", { class: "muted who" }, "for ", named(client(who))) : null);
}

function shown(request) {
  const speed = rates.of(request.request_id);
  const place = [request.engine, request.model].filter(Boolean).join("/") || "not routed yet";
  const what = make("span", {}, phase(request));
  if (request.phase === "prefill" && request.prefill) {
    what.append(make("progress", { max: 1, value: request.prefill.ratio, "aria-label": "prompt read" }));
  }
  const numbers = [duration(request.since_s), request.tokens ? count(request.tokens) + " tokens" : "",
    speed ? speed.toFixed(1) + " tok/s" : ""].filter(Boolean).join(" · ");
  return make("div", { class: "request" }, subject(place, request.reason, request.client), what, make("span", { class: "numbers" }, numbers));
}

function waiting(waiter, who) {
  return make("div", { class: "request" }, subject(waiter.engine + "/" + waiter.model, null, who),
    make("span", { class: "warn" }, "waiting " + wait(waiter.reason) + ", position " + waiter.position),
    make("span", { class: "numbers" }, duration(waiter.waiting_s)));
}

function showNow(state) {
  // Polls that failed now and then leave an engine up, in the metrics as for requests.
  const up = state.engines.filter(engine => engine.state === "up" || engine.state === "degraded").length;
  const loading = state.pools.filter(pool => pool.loading).length;
  const running = state.in_flight.filter(request => request.phase !== "queue");
  const answering = running.filter(request => request.phase === "prefill" || request.phase === "stream");
  const total = rates.total();
  fill(by("now"),
    tile("engines up", up + " of " + state.engines.length, up < state.engines.length ? "bad" : "good"),
    tile("answering", String(answering.length)),
    tile("waiting", String(state.queue.length), state.queue.length ? "warn" : ""),
    tile("loading", String(loading), loading ? "warn" : ""),
    tile("tokens per second", total ? total.toFixed(total < 10 ? 1 : 0) : "0"));
  const clients = new Map(state.in_flight.map(request => [request.request_id, request.client]));
  const rows = [...running.map(shown),
    ...state.queue.slice(0, SHOWN).map(waiter => waiting(waiter, clients.get(waiter.request_id)))];
  if (state.queue.length > SHOWN) {
    rows.push(make("p", { class: "muted" }, "and " + (state.queue.length - SHOWN) + " more that wait"));
  }
  fill(by("requests"), ...(rows.length ? rows : [make("p", { class: "muted" }, "Nothing is asked at this moment.")]));
}

function resident(one, age) {
  const facts = [bytes(one.bytes), one.context ? count(one.context) + " tokens of context" : "",
    one.active ? one.active + " running" : "idle " + duration(one.idle_s + age), one.pinned ? "pinned" : "",
    one.owned ? "" : "loaded by others"].filter(Boolean).join(" · ");
  return make("li", {}, make("strong", {}, named(one.engine + "/" + (one.instance || one.model))), " ", facts);
}

function pool(one, age) {
  const told = one.residents.reduce((sum, r) => sum + (r.bytes ?? 0), 0);
  // What models are counted with beyond what engines tell: their contexts, and models that no engine lists.
  const estimated = Math.max(0, one.used_bytes - told);
  const used = told + estimated;
  const whole = Math.max(one.budget_bytes ?? 0, used + (one.others_bytes ?? 0), 1);
  const said = bytes(one.used_bytes) + (one.budget_bytes ? " of " + bytes(one.budget_bytes) : " of an unknown budget");
  // A bar without a budget would be full whatever is in use.
  const bar = one.budget_bytes ? make("div", { class: "bar", role: "img", "aria-label": said + " in use" }) : null;
  const parts = [...one.residents.map(r => [isolated(r.model), r.bytes ?? 0]), ["estimated", estimated]];
  for (const [name, size] of bar ? parts.filter(([, size]) => size) : []) {
    const part = make("span", { title: name + " " + bytes(size) });
    if (used > one.budget_bytes) part.classList.add("over");
    part.style.width = 100 * size / whole + "%";
    bar.append(part);
  }
  const card = make("div", { class: "card" }, make("h3", {}, one.name), bar,
    make("p", { class: "muted" }, said + (estimated >= 1e6 ? ", " + bytes(estimated) + " of it estimated" : "") +
      (one.others_bytes ? "; other programs hold " + bytes(one.others_bytes) : "")));
  if (one.loading) {
    const { model, since, expected_s: expected } = one.loading;
    card.append(make("p", { class: "warn" }, "loading ", named(model), ", " + duration(since) +
      (expected ? " of about " + duration(expected) : "")));
    card.append(make("progress", expected
      ? { max: expected, value: Math.min(since, expected), "aria-label": "load of " + isolated(model) }
      : { "aria-label": "load of " + isolated(model) }));
  }
  card.append(one.residents.length ? make("ul", { class: "list" }, ...one.residents.map(held => resident(held, age)))
    : make("p", { class: "muted" }, one.used_bytes ? "No engine says what it has loaded." : "Nothing is loaded."));
  return card;
}

function engine(one) {
  const style = { up: "good", down: "bad" }[one.state] ?? "warn";
  const card = make("div", { class: "card" }, make("h3", {}, one.name + " ", make("span", { class: style }, one.state)),
    make("p", { class: "muted" }, [one.kind, one.version, "on " + one.device, one.models.length + " models"]
      .filter(Boolean).join(" · ")),
    make("p", {}, one.permits.active + " running, " + one.queue.waiting + " of " + one.queue.limit + " waiting" +
      (one.breaker === "closed" ? "" : ", breaker " + one.breaker.replace("_", " "))));
  for (const text of [one.error, ...one.advice].filter(Boolean)) card.append(make("p", { class: "bad" }, visible(text)));
  return card;
}

function prefix(one) {
  const share = one.prompt_tokens ? ": " + count(one.cached_tokens ?? 0) + " of " + count(one.prompt_tokens) +
    " tokens were cached" : "";
  return make("li", {}, make("strong", {}, named(client(one.client))), " to ", named(one.engine + "/" + one.model), ", ",
    named(one.differs), share + ". ", make("span", { class: "muted" }, visible(one.fix)));
}

function showPools(state, age) {
  fill(by("pools"), ...state.pools.map(one => pool(one, age)));
}

/** Shows a state document. */
export function showState(state) {
  const now = performance.now();
  last = { state, at: now };
  rates.note(state.in_flight, now);
  showNow(state);
  showPools(state, 0);
  fill(by("engines"), ...(state.engines.length ? state.engines.map(engine)
    : [make("p", { class: "muted" }, "No engine was found: start LM Studio or Ollama.")]));
  const prefixes = state.prefixes ?? [];
  by("prefixes-section").hidden = !prefixes.length;
  fill(by("prefixes"), ...prefixes.map(prefix));
}

/** Shows how long models are idle by now: while nothing happens no state comes. */
export function showAges() {
  if (last) showPools(last.state, (performance.now() - last.at) / 1000);
}
