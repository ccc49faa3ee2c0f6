// Names in headers on the live page: node --test tests/page
import assert from "node:assert/strict";
import { test } from "node:test";

import { header } from "../../proxy/src/admin/page/format.js";

test("a name in a header is the name that the engine has", () => {
  const sent = Array.from(new TextEncoder().encode("\u05e9\u05dc\u{1f999}/m"), byte => String.fromCharCode(byte)).join("");
  assert.deepEqual([sent, "qwen2.5:7b", null].map(header), ["\u05e9\u05dc\u{1f999}/m", "qwen2.5:7b", ""]);
});
