import assert from "node:assert/strict";
import { test } from "node:test";

import { MOST, slicesOf } from "../../static/pages/slices.js";

const share = (key, value, percent = value) => ({ key, label: key, value, share_percent: percent });
const whole = (slices) => slices.reduce((sum, { arc }) => sum + arc, 0);

test("a few shares are drawn as they are, all round", () => {
  const slices = slicesOf([share("A", 60), share("B", 30), share("C", 10)]);
  assert.deepEqual(slices.map(({ key, arc, start }) => [key, arc, start]), [["A", 60, 0], ["B", 30, 60], ["C", 10, 90]]);
});

test("the smallest of many are one", () => {
  const shares = Array.from({ length: 12 }, (_, i) => share(`S${i}`, 12 - i, Math.round(10000 * (12 - i) / 78) / 100));
  const slices = slicesOf(shares);
  assert.equal(slices.length, MOST);
  assert.deepEqual(slices.at(-1).label, "Other (5)");
  assert.equal(slices.at(-1).value, 15);
  assert.equal(slices.at(-1).count, 5);
  assert.ok(Math.abs(whole(slices) - 100) < 1e-9);
  const percents = slices.reduce((sum, { share_percent: percent }) => sum + percent, 0);
  assert.ok(Math.abs(percents - 100) < 0.1);
});

test("what is owed stands in the table and has no arc", () => {
  const slices = slicesOf([share("A", 150), share("cash:USD", -50)]);
  assert.deepEqual(slices.map(({ key, arc }) => [key, arc]), [["A", 100], ["cash:USD", 0]]);
});

test("shares of nothing have no percent", () => {
  assert.deepEqual(slicesOf([]), []);
  assert.equal(slicesOf(Array.from({ length: 10 }, (_, i) => share(`S${i}`, 1, null))).at(-1).share_percent, null);
});
