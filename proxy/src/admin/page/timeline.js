// The last 15 minutes: lanes of answers, loads and evictions per engine, and two charts of answers.

import { by, draw, fill, make } from "./dom.js";
import { MINUTES, begin, end, timelineEntries } from "./entries.js";
import { ceiling, count, duration, ending, isolated } from "./format.js";

const LANE = 30;
/** Room for a label above the topmost line of a chart. */
const TOP = 16;
/** The shortest time between two drawings, in milliseconds: on a busy instance answers come faster than anybody reads. */
const DRAWING = 500;

const timeline = timelineEntries();

/** The timer of the next drawing. */
let drawing = null;

function drawSoon() {
  drawing ??= setTimeout(showTimeline, DRAWING);
}

/** Takes what the instance's clock says. */
export function noteClock(instanceMs) {
  if (instanceMs != null && timeline.noteClock(instanceMs, Date.now())) drawSoon();
}

/** Takes the first entries of a connection. */
export function beginEntries(all) {
  timeline.begin(all);
  drawSoon();
}

/** Takes what is new. */
export function addEntries(more) {
  timeline.add(more);
  drawSoon();
}

/** A drawing is as wide as its place, so that its texts have the size of the page's. */
const width = place => Math.max(240, place.clientWidth);
const x = (at, now, wide) => wide * Math.min(1, Math.max(0, 1 - (now - at) / (MINUTES * 60000)));

function words(entry) {
  const place = isolated(entry.engine + "/" + entry.model);
  if (entry.kind === "load") return "load of " + place + ", " + duration(entry.took_s) + ", " + entry.outcome;
  if (entry.kind === "eviction") return place + " left memory: " + entry.reason;
  // Of an answer that came as a whole nobody knows when its first token was there.
  const first = entry.first_token_s == null ? "" : ", first token " + duration(entry.first_token_s);
  const failed = entry.failed_s ? ", " + duration(entry.failed_s) + " of it with attempts that failed" : "";
  const speed = entry.tokens_per_second ? ", " + entry.tokens_per_second.toFixed(1) + " tok/s" : "";
  return place + ": " + duration(entry.took_s) + failed + first + ", " +
    count(entry.prompt_tokens) + " + " + count(entry.output_tokens) + " tokens" + speed +
    { answered: "", left: ", left by its client", failed: ", " + entry.outcome }[ending(entry)];
}

function mark(entry, lane, now, wide) {
  const top = 18 + lane * LANE;
  const title = draw("title", {}, words(entry));
  if (entry.kind === "eviction") {
    const at = x(entry.at_ms, now, wide);
    return draw("line", { class: "eviction", x1: at, x2: at, y1: top - 2, y2: top + 14 }, title);
  }
  const from = x(begin(entry), now, wide);
  const style = entry.kind === "load" ? "load" : ending(entry);
  const height = entry.kind === "load" ? 14 : 8;
  return draw("rect", { class: style, x: from, y: top + (14 - height) / 2, height,
    width: Math.max(2, x(end(entry), now, wide) - from), rx: 1, opacity: 0.85 }, title);
}

function lanes(entries, now) {
  const wide = width(by("timeline"));
  const engines = [...new Set(entries.map(entry => entry.engine))].sort();
  const height = 16 + Math.max(1, engines.length) * LANE + 16;
  const counted = kind => entries.filter(entry => entry.kind === kind).length;
  const picture = draw("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label":
    `${counted("answer")} answers, ${counted("load")} loads and ${counted("eviction")} evictions in 15 minutes` });
  for (let minute = 0; minute <= MINUTES; minute += 5) {
    const at = x(now - minute * 60000, now, wide);
    picture.append(draw("line", { class: "axis", x1: at, x2: at, y1: 12, y2: height - 14 }),
      draw("text", { x: at, y: height - 3, "text-anchor": minute === 0 ? "end" : minute === MINUTES ? "start" : "middle" },
        minute === 0 ? "now" : "-" + minute + " min"));
  }
  for (const [lane, name] of engines.entries()) {
    picture.append(draw("text", { x: 2, y: 14 + lane * LANE }, name));
    for (const entry of entries) if (entry.engine === name) picture.append(mark(entry, lane, now, wide));
  }
  return picture;
}

function dots(entries, place, value, unit, now) {
  const wide = width(place);
  const points = entries.filter(entry => entry.kind === "answer" && entry[value] != null);
  const height = 96;
  const most = ceiling(points.map(entry => entry[value]));
  const y = amount => TOP + (height - TOP - 4) * (1 - amount / most);
  const picture = draw("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label":
    points.length ? `${points.length} answers, the last ${points.at(-1)[value].toFixed(1)} ${unit}` : "no answers" });
  for (const amount of [0, most / 2, most]) {
    picture.append(draw("line", { class: "axis", x1: 0, x2: wide, y1: y(amount), y2: y(amount) }),
      draw("text", { x: 0, y: y(amount) - 2 }, String(+amount.toPrecision(3)) + " " + unit));
  }
  for (const entry of points) {
    picture.append(draw("circle", { class: "dot", cx: x(end(entry), now, wide) - 3, cy: y(entry[value]), r: 2.5 },
      draw("title", {}, words(entry))));
  }
  return picture;
}

/** Draws what is known now. */
export function showTimeline() {
  clearTimeout(drawing);
  drawing = null;
  const here = Date.now();
  const [entries, now] = [timeline.recent(here), timeline.now(here)];
  const legend = make("div", { class: "legend" }, make("span", { class: "answers" }, "answer"),
    make("span", { class: "left-ends" }, "answer that its client left"), make("span", { class: "loads" }, "load"),
    make("span", { class: "evictions" }, "eviction, or an answer that failed"));
  fill(by("timeline"), ...(entries.length ? [lanes(entries, now), legend]
    : [make("p", { class: "muted" }, "Nothing happened yet.")]));
  fill(by("first-token"), dots(entries, by("first-token"), "first_token_s", "s", now));
  fill(by("rate"), dots(entries, by("rate"), "tokens_per_second", "tok/s", now));
}
