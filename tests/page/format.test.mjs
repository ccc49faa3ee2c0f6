// Numbers, times and phases of the live page, and its reader of events: node --test tests/page
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bytes, ceiling, client, clock, count, duration, ending, isolated, phase, share, size, visible, wait } from "../../proxy/src/admin/page/format.js";
import { eventParser } from "../../proxy/src/admin/page/stream.js";

// The terminal view is held to the same cases (cli/src/top/words.rs).
const cases = JSON.parse(readFileSync(new URL("words.json", import.meta.url)));

test("kept requests have a size, a time and a cached share", () => {
  assert.deepEqual([640, 50_400, 8 << 20].map(size), ["640 bytes", "49.2 KiB", "8.0 MiB"]);
  assert.match(clock(1795906800000), /^\d\d:\d\d:\d\d$/);
  const end = { prompt_tokens: 200, cached_tokens: 197, cached_is_estimated: false };
  assert.deepEqual([end, { ...end, cached_is_estimated: true }, { ...end, cached_tokens: null }].map(share),
    ["98 % cached", "about 98 % cached", ""]);
});

test("numbers, times, phases, waits and ends are said as in the terminal", () => {
  for (const [name, say] of Object.entries({ bytes, client, count, duration, ending, phase, wait })) {
    for (const [value, text] of cases[name]) assert.equal(say(value), text, name + " of " + JSON.stringify(value));
  }
});

test("what hides or turns text is seen, and a name keeps its direction to itself", () => {
  const cases = [["plain\n\ttext, \u05d0", "plain\n\ttext, \u05d0"], ["a\u202eb\u2069", "a\\u202eb\\u2069"],
    ["\u200b\ufeff\x1b[2J\x85", "\\u200b\\ufeff\\u001b[2J\\u0085"], ["\u{e0041}", "\\udb40\\udc41"],
    ["\u{1f469}\u200d\u{1f4bb}", "\u{1f469}\u200d\u{1f4bb}"], ["a\u200db", "a\\u200db"], ["\u3164\u{e0100}\ufe0f", "\\u3164\u{e0100}\ufe0f"],
    ["\u0646\u200c\u0645", "\u0646\u200c\u0645"]];
  for (const [text, shown] of cases) {
    assert.equal(visible(text), shown);
    // A JSON text with the escapes is the same document.
    if (!/[\n\t\x1b]/.test(text)) assert.equal(JSON.parse('"' + shown + '"'), text);
  }
  assert.equal(isolated("a\u2069b"), "\u2068a\\u2069b\u2069");
});

test("the page makes the characters seen that documents name as unseen, and no others", () => {
  // Written by documents/src/unseen_character.rs.
  const list = JSON.parse(readFileSync(new URL("unseen_characters.json", import.meta.url)));
  const kinds = new Map(Object.entries(list).flatMap(([kind, ranges]) => ranges.flatMap(range => {
    const [first, last] = range.split("-").map(end => parseInt(end, 16));
    return Array.from({ length: last - first + 1 }, (_, at) => [first + at, kind]);
  })));
  assert.deepEqual([0x1b, 0x202e, 0xfe0f, 0xad, 0x61].map(code => kinds.get(code)),
    ["control", "turning", "shaping", "hidden", undefined]);
  const wrong = [];
  for (let code = 0; code <= 0x10ffff; code += 1) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const text = String.fromCodePoint(code);
    const kind = kinds.get(code);
    // A page shows line feeds and tabs as such, and the shapes that letters take beside each other.
    const seen = kind === undefined || kind === "shaping" || text === "\n" || text === "\t";
    if ((visible(text) === text) !== seen) wrong.push(code.toString(16) + " " + kind);
  }
  assert.deepEqual(wrong, []);
});

test("the top of a chart is round and above every value", () => {
  assert.deepEqual([[], [0], [0.3], [7], [11], [201]].map(ceiling), [1, 1, 0.5, 10, 20, 500]);
});

test("events are whole wherever their text is cut", () => {
  const text = "event: state\ndata: {\"a\":1}\n\n:\n\nevent: timeline\ndata: [\ndata: ]\n\n";
  for (let cut = 0; cut <= text.length; cut += 1) {
    const seen = [];
    const parse = eventParser((name, data) => seen.push([name, data]));
    parse(text.slice(0, cut));
    parse(text.slice(cut));
    assert.deepEqual(seen, [["state", '{"a":1}'], ["timeline", "[\n]"]]);
  }
});
