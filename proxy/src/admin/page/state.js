// The state of this moment: tiles, requests, pools, engines, broken prefixes.

import { by, fill, make, named } from "./dom.js";
import { bytes, client, count, duration, isolated, phase, visible, wait } from "./format.js";

/** The most waiting requests that are listed one by one. */
const SHOWN = 8;

/** Tokens of each running request at the last frame, for the rate of the moment. */
const before = new Map();

/** The tokens per second of a request since the frame before, or null. */
function rate(request, now) {
  const last = before.get(request.request_id);
  before.set(request.request_id, { at: now, tokens: request.tokens });
  if (!last || request.tokens <= last.tokens || now <= last.at) return null;
  return (request.tokens - last.tokens) / ((now - last.at) / 1000);
}

function tile(name, value, style = "") {
  return make("div", {}, make("dt", {}, name), make("dd", style ? { class: style } : {}, value));
}

/** Where a request goes, why, and who asks. */
function subject(place, reason, who) {
  return make("span", {}, named(place), reason ? " (" + reason + ")" : "",
    who ? make("span", { class: "muted who" }, "for ", named(client(who))) : null);
}

function shown(request, now) {
  const speed = rate(request, now);
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

function showNow(state, now) {
  const up = state.engines.filter(engine => engine.state === "up").length;
  const loading = state.pools.filter(pool => pool.loading).length;
  const running = state.in_flight.filter(request => request.phase !== "queue");
  const answering = running.filter(request => request.phase === "prefill" || request.phase === "stream");
  const known = new Set(state.in_flight.map(request => request.request_id));
  for (const id of before.keys()) if (!known.has(id)) before.delete(id);
  const total = state.in_flight.map(request => [request, before.get(request.request_id)])
    .reduce((sum, [request, last]) => sum + (last && now > last.at
      ? Math.max(0, request.tokens - last.tokens) / ((now - last.at) / 1000) : 0), 0);
  fill(by("now"),
    tile("engines up", up + " of " + state.engines.length, up < state.engines.length ? "bad" : "good"),
    tile("answering", String(answering.length)),
    tile("waiting", String(state.queue.length), state.queue.length ? "warn" : ""),
    tile("loading", String(loading), loading ? "warn" : ""),
    tile("tokens per second", total ? total.toFixed(0) : "0"));
  const clients = new Map(state.in_flight.map(request => [request.request_id, request.client]));
  const rows = [...running.map(request => shown(request, now)),
    ...state.queue.slice(0, SHOWN).map(waiter => waiting(waiter, clients.get(waiter.request_id)))];
  if (state.queue.length > SHOWN) {
    rows.push(make("p", { class: "muted" }, "and " + (state.queue.length - SHOWN) + " more that wait"));
  }
  fill(by("requests"), ...(rows.length ? rows : [make("p", { class: "muted" }, "Nothing is asked at this moment.")]));
}

function resident(one) {
  const facts = [bytes(one.bytes), one.context ? count(one.context) + " tokens of context" : "",
    one.active ? one.active + " running" : "idle " + duration(one.idle_s), one.pinned ? "pinned" : "",
    one.owned ? "" : "loaded by hand"].filter(Boolean).join(" · ");
  return make("li", {}, make("strong", {}, named(one.engine + "/" + (one.instance || one.model))), " ", facts);
}

function pool(one) {
  const used = one.residents.reduce((sum, r) => sum + (r.bytes ?? 0), 0);
  const whole = Math.max(one.budget_bytes ?? 0, used + (one.others_bytes ?? 0), 1);
  const said = bytes(one.used_bytes) + (one.budget_bytes ? " of " + bytes(one.budget_bytes) : " of an unknown budget");
  // A bar without a budget would be full whatever is in use.
  const bar = one.budget_bytes ? make("div", { class: "bar", role: "img", "aria-label": said + " in use" }) : null;
  for (const r of bar ? one.residents : []) {
    const part = make("span", { title: isolated(r.model) + " " + bytes(r.bytes) });
    if (used > one.budget_bytes) part.classList.add("over");
    part.style.width = 100 * (r.bytes ?? 0) / whole + "%";
    bar.append(part);
  }
  const card = make("div", { class: "card" }, make("h3", {}, one.name), bar,
    make("p", { class: "muted" }, said +
      (one.others_bytes ? "; other programs hold " + bytes(one.others_bytes) : "")));
  if (one.loading) {
    const { model, since, expected_s: expected } = one.loading;
    card.append(make("p", { class: "warn" }, "loading ", named(model), ", " + duration(since) +
      (expected ? " of about " + duration(expected) : "")));
    card.append(make("progress", expected
      ? { max: expected, value: Math.min(since, expected), "aria-label": "load of " + isolated(model) }
      : { "aria-label": "load of " + isolated(model) }));
  }
  card.append(one.residents.length ? make("ul", { class: "list" }, ...one.residents.map(resident))
    : make("p", { class: "muted" }, "Nothing is loaded."));
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

/** Shows a state document. */
export function showState(state) {
  const now = performance.now();
  showNow(state, now);
  fill(by("pools"), ...state.pools.map(pool));
  fill(by("engines"), ...(state.engines.length ? state.engines.map(engine)
    : [make("p", { class: "muted" }, "No engine was found: start LM Studio or Ollama.")]));
  const prefixes = state.prefixes ?? [];
  by("prefixes-section").hidden = !prefixes.length;
  fill(by("prefixes"), ...prefixes.map(prefix));
}
