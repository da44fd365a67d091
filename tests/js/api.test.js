import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, asWritten, flatten } from "../../static/pages/api.js";

test("a refusal is told in the server's words, whatever its shape", () => {
  assert.equal(flatten({ detail: "expected this" }), "expected this");
  assert.equal(flatten({ price: ["expected 0 or more"], fee: ["expected less"] }), "price: expected 0 or more fee: expected less");
  assert.equal(flatten({ non_field_errors: ["expected another"] }), "expected another");
  assert.equal(flatten(["one", "two"]), "one two");
  assert.equal(flatten(null), "");
});

test("a refusal says which field is wrong", () => {
  const error = new ApiError(400, "no", { price: ["expected 0 or more, was -1"], detail: "and more" });
  assert.deepEqual(error.fields, { price: "expected 0 or more, was -1", detail: "and more" });
  assert.deepEqual(new ApiError(500, "no").fields, {});
  assert.deepEqual(new ApiError(400, "no", ["one"]).fields, {});
});

test("an exact number is the text that the server wrote, or what is left of it", () => {
  assert.equal(asWritten("", 0.1, { source: "0.100000000000000001" }), "0.100000000000000001");
  assert.equal(asWritten("", 0.1), "0.1");
  assert.equal(asWritten("", "text", { source: '"text"' }), "text");
});
