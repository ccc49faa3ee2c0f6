// The last minutes and the rates of this moment on the live page: node --test tests/page
import assert from "node:assert/strict";
import { test } from "node:test";

import { timelineEntries } from "../../proxy/src/admin/page/entries.js";
import { tokenRates } from "../../proxy/src/admin/page/rates.js";

const MINUTE = 60_000;
const eviction = at_ms => ({ kind: "eviction", at_ms, engine: "gpu", model: "m", reason: "ttl" });

test("after a new connection the last minutes are not doubled", () => {
  const timeline = timelineEntries();
  timeline.begin([eviction(1)]);
  timeline.add([eviction(2)]);
  assert.equal(timeline.recent(3).length, 2);
  timeline.begin([eviction(1), eviction(2)]);
  assert.equal(timeline.recent(3).length, 2);
});

test("entries are as old as the clock of the instance says", () => {
  for (const here of [40 * MINUTE, 160 * MINUTE]) {
    const timeline = timelineEntries();
    timeline.begin([80, 95, 99].map(minutes => eviction(minutes * MINUTE)));
    assert.equal(timeline.recent(here).length, 3);
    assert.equal(timeline.noteClock(100 * MINUTE, here), true);
    assert.deepEqual(timeline.recent(here).map(entry => entry.at_ms / MINUTE), [95, 99]);
    assert.equal(timeline.now(here), 100 * MINUTE);
    assert.equal(timeline.noteClock(100 * MINUTE + 400, here + 200), false);
    // The browser's clock is set while the page is open: the next state puts it right, and nothing is lost.
    assert.equal(timeline.recent(here + 60 * MINUTE).length, 0);
    assert.equal(timeline.noteClock(101 * MINUTE, here + 61 * MINUTE), true);
    assert.equal(timeline.recent(here + 61 * MINUTE).length, 2);
  }
});

test("no more entries are kept than the instance keeps", () => {
  const timeline = timelineEntries();
  for (let n = 0; n < 30; n += 1) timeline.add(Array.from({ length: 100 }, (_, at) => eviction(100 * n + at)));
  assert.equal(timeline.recent(3000).length, 2000);
  assert.equal(timeline.recent(3000).at(-1).at_ms, 2999);
});

test("a slow model has one rate although no token comes between two states", () => {
  const rates = tokenRates();
  const asked = tokens => [{ request_id: "r", tokens }];
  // Ten seconds of its prompt, then a token every 800 ms, looked at every 500 ms.
  for (let at = 0; at < 10_000; at += 500) rates.note(asked(0), at);
  assert.equal(rates.of("r"), null);
  for (let at = 10_000; at < 20_000; at += 500) {
    rates.note(asked(1 + Math.floor((at - 10_000) / 800)), at);
    if (at < 13_500) continue;
    assert.ok(Math.abs(rates.of("r") - 1.25) < 0.3, at + ": " + rates.of("r"));
    assert.equal(rates.total(), rates.of("r"));
  }
  rates.note([], 20_000);
  assert.deepEqual([rates.of("r"), rates.total()], [null, 0]);
});
