// The 39 settings with their states, and the findings of the doctor.

import { by, fill, make, named } from "./dom.js";
import { visible } from "./format.js";

const WORDS = {
  in_effect: ["in effect", "good"], not_in_effect: ["not in effect", "bad"], not_applicable: ["not applicable", "muted"],
  unverifiable: ["cannot be read", "warn"], superseded: ["superseded", "muted"],
};
const ORDER = ["not_in_effect", "unverifiable", "in_effect", "superseded", "not_applicable"];

function row(setting) {
  const [words, style] = WORDS[setting.state] ?? ["not looked at", "muted"];
  return make("li", {}, make("strong", {}, setting.id), " = ", named(String(setting.value) || "(empty)"), " ", make("span", { class: style }, words),
    setting.evidence ? " · " + visible(setting.evidence) : "", setting.advice && setting.state === "not_in_effect"
      ? make("div", { class: "bad" }, visible(setting.advice)) : "");
}

function finding(one) {
  return make("li", {}, make("strong", { class: "bad" }, visible(one.engine + ": " + one.found)), " ",
    make("span", { class: "muted" }, "asked: " + visible(String(one.asked)) + ". "), visible(one.fix));
}

/** Shows the document of the settings. */
export function showSettings(document) {
  const rows = [...document.tunings].sort((a, b) =>
    ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.number - b.number);
  const counts = ORDER.map(state => [state, rows.filter(r => r.state === state).length]).filter(([, n]) => n);
  fill(by("settings-sum"), counts.map(([state, n]) => n + " " + WORDS[state][0]).join(", "));
  fill(by("findings"), ...document.findings.map(finding), ...rows.filter(r => r.state === "not_in_effect").map(row));
  fill(by("settings"), ...rows.map(row));
}
