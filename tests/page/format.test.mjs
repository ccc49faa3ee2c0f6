// Numbers, times and phases of the live page, and its reader of events: node --test tests/page
import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, ceiling, clock, count, duration, phase, share, size, wait } from "../../proxy/src/admin/page/format.js";
import { eventParser } from "../../proxy/src/admin/page/stream.js";

test("numbers are short and have their unit", () => {
  assert.deepEqual([null, 512e6, 13.4e9].map(bytes), ["", "512 MB", "13.4 GB"]);
  assert.deepEqual([950, 12300, 8.12e6].map(count), ["950", "12.3 k", "8.12 M"]);
  assert.deepEqual([null, 0.44, 12.3, 185, 7800].map(duration), ["", "0.4 s", "12 s", "3 m 5 s", "2 h 10 m"]);
});

test("kept requests have a size, a time and a cached share", () => {
  assert.deepEqual([640, 50_400, 8 << 20].map(size), ["640 bytes", "49.2 KiB", "8.0 MiB"]);
  assert.match(clock(1795906800000), /^\d\d:\d\d:\d\d$/);
  const end = { prompt_tokens: 200, cached_tokens: 197, cached_is_estimated: false };
  assert.deepEqual([end, { ...end, cached_is_estimated: true }, { ...end, cached_tokens: null }].map(share),
    ["98 % cached", "about 98 % cached", ""]);
});

test("a phase says how far a prompt is read, and who says so", () => {
  const prefill = { ratio: 0.629, remaining_s: 13.2, source: "engine" };
  assert.equal(phase({ phase: "prefill", prefill }), "reading the prompt, 62 %, 14 s left");
  const guess = { ...prefill, source: "estimate", remaining_s: null };
  assert.equal(phase({ phase: "prefill", prefill: guess }), "reading the prompt, about 62 %, longer than predicted");
  assert.equal(phase({ phase: "stream" }), "answering");
  assert.equal(phase({ phase: "of a later version" }), "of a later version");
});

test("what is waited for is said in words", () => {
  assert.equal(wait("slot"), "for a free slot");
  assert.equal(wait("of a later version"), "(of a later version)");
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
