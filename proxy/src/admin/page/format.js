// Numbers and times as a person reads them. Pure functions; their tests are in tests/page.

/** 13.4 GB, 512 MB; empty for null. */
export function bytes(value) {
  if (value == null) return "";
  if (value >= 1e9) return (value / 1e9).toFixed(1) + " GB";
  return Math.round(value / 1e6) + " MB";
}

/** 640 bytes, 49.2 KiB, 8.0 MiB. */
export function size(value) {
  if (value < 1024) return value + " bytes";
  if (value < 1024 ** 2) return (value / 1024).toFixed(1) + " KiB";
  return (value / 1024 ** 2).toFixed(1) + " MiB";
}

/** The time of day of a moment in milliseconds since 1970: 10:32:15. */
export const clock = ms => new Date(ms).toTimeString().slice(0, 8);

/** "98 % cached", "about 40 % cached" where it is estimated; empty where it is not known. */
export function share(end) {
  if (!end.prompt_tokens || end.cached_tokens == null) return "";
  const about = end.cached_is_estimated ? "about " : "";
  return about + Math.floor(Math.min(1, end.cached_tokens / end.prompt_tokens) * 100) + " % cached";
}

/**
 * Characters that a reader does not see or that turn a text, as documents/src/unseen_character.rs lists them: all but
 * line feeds, tabs, and what chooses the shape of its neighbours, unless that is a joiner behind a letter of ASCII.
 */
const UNSEEN = new RegExp(
  String.raw`(?![\t\n\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\u{e0100}-\u{e01ef}])` +
  String.raw`[\p{Cc}\p{Default_Ignorable_Code_Point}\u2028-\u202e\ufff0-\ufffb]|(?<=[\x00-\x7f])[\u034f\u200c\u200d]`, "gu");

/** A text of others in which nothing is hidden or turns what stands around it: such characters are JSON's escapes. */
export const visible = text => text.replace(UNSEEN, found =>
  Array.from({ length: found.length }, (_, at) => "\\u" + found.charCodeAt(at).toString(16).padStart(4, "0")).join(""));

/** A name of others within a text that can have no elements: FSI and PDI keep its direction to itself. */
export const isolated = name => "\u2068" + visible(name) + "\u2069";

/** The value of a header, which a browser reads byte by byte although names in it are UTF-8; empty for null. */
export const header = value => new TextDecoder().decode(Uint8Array.from(value ?? "", byte => byte.charCodeAt(0)));

/** A client as queues tell it apart; of a program that gives no name its address alone: "127.0.0.1". */
export const client = name => name.startsWith("@") ? name.slice(1) : name;

/** 950, 12.3 k, 8.12 M. */
export function count(value) {
  if (value >= 999_950) return (value / 1e6).toFixed(2) + " M";
  if (value >= 1e4) return (value / 1e3).toFixed(1) + " k";
  return String(value);
}

/** 0.4 s, 12 s, 3 m 5 s, 2 h 10 m, 3 d 4 h; empty for null. */
export function duration(seconds) {
  if (seconds == null) return "";
  if (seconds < 10) return seconds.toFixed(1) + " s";
  const whole = Math.round(seconds);
  if (whole < 60) return whole + " s";
  if (whole < 3600) return Math.floor(whole / 60) + " m " + (whole % 60) + " s";
  if (whole >= 172800) return Math.floor(whole / 86400) + " d " + Math.floor((whole % 86400) / 3600) + " h";
  return Math.floor(whole / 3600) + " h " + Math.floor((whole % 3600) / 60) + " m";
}

/** What a request does at this moment: "reading the prompt, 62 %, 14 s left". */
export function phase(request) {
  const words = { reading: "reading the request", queue: "waiting", prefill: "reading the prompt", stream: "answering" };
  const said = words[request.phase] ?? request.phase;
  const prefill = request.prefill;
  if (request.phase !== "prefill" || !prefill) return said;
  // "about" where nobody reports it.
  const about = prefill.source === "estimate" ? "about " : "";
  const left = prefill.remaining_s == null ? "longer than predicted" : Math.ceil(prefill.remaining_s) + " s left";
  return said + ", " + about + Math.floor(prefill.ratio * 100) + " %, " + left;
}

/** What a waiting request waits for, in words. */
export function wait(reason) {
  const words = {
    slot: "for a free slot", load: "for its model to load", swap: "for another model to make room",
  };
  return words[reason] ?? "(" + reason + ")";
}

/** How a request ended, as documents/src/ending_class.rs divides them: a client that left has met no failure. */
export function ending({ outcome, status }) {
  if (outcome === "client_gone" || (outcome === "ok" && status === 499)) return "left";
  return outcome === "ok" ? "answered" : "failed";
}

/** A round number at or above the largest value, for the top of a chart. */
export function ceiling(values) {
  const most = Math.max(0, ...values);
  if (most === 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 5, 10].find(factor => factor * power >= most);
  return step * power;
}
