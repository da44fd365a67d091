import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";

import { oneAtATime } from "../../static/pages/one_at_a_time.js";

/** Work that ends when the test says so. */
function slowWork() {
  const runs = [];
  const run = oneAtATime(() => new Promise((resolve, reject) => runs.push({ resolve, reject })));
  return { runs, run };
}

test("a burst of askings is one run, and one more after it", async () => {
  const { runs, run } = slowWork();
  const first = run();
  const later = [run(), run(), run()];
  assert.equal(runs.length, 1);
  runs[0].resolve();
  await first;
  await settled();
  assert.equal(runs.length, 2);
  runs[1].resolve();
  await Promise.all(later);
  assert.equal(runs.length, 2);
});

test("after it has ended, asking runs it again", async () => {
  const { runs, run } = slowWork();
  const first = run();
  runs[0].resolve();
  await first;
  await settled();
  void run();
  assert.equal(runs.length, 2);
});

test("a run that fails says so, and the next one runs all the same", async () => {
  const { runs, run } = slowWork();
  const [first, second] = [run(), run()];
  runs[0].reject(new Error("away"));
  await assert.rejects(first, /away/);
  await settled();
  runs[1].resolve();
  await second;
});
