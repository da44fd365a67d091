import assert from "node:assert/strict";
import { test } from "node:test";

import { keyOf, readingOf, verdictOf } from "../../static/pages/import_words.js";

const preview = (fields) => ({ booked: false, rows: 3, new: 3, duplicates: 0, problems: [], more_problems: 0, ...fields });
const problem = { line: 4, column: "Date", message: "expected a date" };

test("a good file can be imported, and says that nothing is stored yet", () => {
  const { isGood, text } = verdictOf(preview({ new: 2, duplicates: 1 }));
  assert.equal(isGood, true);
  assert.equal(text, "2 rows can be imported. 1 row is there already and will not be booked twice. Nothing is stored yet.");
});

test("one problem keeps the whole file out", () => {
  const { isGood, text } = verdictOf(preview({ problems: [problem], more_problems: 2 }));
  assert.equal(isGood, false);
  assert.match(text, /^3 problems .* Nothing is stored\.$/);
});

test("a file without anything new is not imported", () => {
  assert.equal(verdictOf(preview({ new: 0, duplicates: 3 })).isGood, false);
  assert.equal(verdictOf(preview({ rows: 0, new: 0 })).isGood, false);
});

test("what was booked is said", () => {
  assert.deepEqual(verdictOf(preview({ booked: true, new: 1, duplicates: 2 })), { isGood: true, text: "1 row booked. 2 rows were there already." });
});

test("how the file was read is said in words", () => {
  assert.equal(readingOf({ preset: "kite", delimiter: ";", encoding: "utf-8" }, { kite: "Kite tradebook" }), "Kite tradebook, split by semicolon, utf-8");
  assert.equal(readingOf({ preset: null, delimiter: "", encoding: "" }, {}), "unknown kind of file");
});

test("an asset is mapped by the first name that the file has for it", () => {
  assert.equal(keyOf({ symbol: "", isin: "US0378331005", name: "Apple" }), "US0378331005");
  assert.equal(keyOf({ symbol: "AAPL", isin: "US0378331005", name: "Apple" }), "AAPL");
});
