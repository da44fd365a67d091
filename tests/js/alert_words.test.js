import assert from "node:assert/strict";
import { test as anyTest } from "node:test";

import { conditionWords, firedWords, stateWords } from "../../static/pages/alert_words.js";

const { locale } = new Intl.NumberFormat().resolvedOptions();
const test = (name, fn) => anyTest(name, { skip: locale === "en-US" ? false : `the locale is ${locale}` }, fn);

test("what an alert waits for is said in a few words", () => {
  assert.equal(conditionWords({ kind: "above", threshold: 150 }), "At or above 150.00");
  assert.equal(conditionWords({ kind: "crossing", threshold: 0.00001234 }), "Crosses 0.00001234");
  assert.equal(conditionWords({ kind: "percent_move", threshold: 2.5, window_minutes: null }), "Moves by 2.5%");
  assert.equal(conditionWords({ kind: "percent_move", threshold: 5, window_minutes: 10 }), "Moves by 5% within 10 minutes");
});

test("what made it fire is said with what a move was measured from", () => {
  const firing = { symbol: "ACME", price: 95, reference: 100 };
  assert.equal(firedWords({ ...firing, kind: "below", threshold: 96 }), "At or below 96.00");
  assert.equal(firedWords({ ...firing, kind: "percent_move", threshold: 5 }), "Moved \u22125.00% from 100.00");
});

test("one that waits says for which price", () => {
  const alert = { threshold: 200, hysteresis: 0.5, hysteresis_unit: "percent", state: "waiting" };
  assert.deepEqual(stateWords({ ...alert, kind: "above" }), { text: "fired, until 199.00", isArmed: false });
  assert.deepEqual(stateWords({ ...alert, kind: "below", hysteresis_unit: "price" }), { text: "fired, until 200.50", isArmed: false });
  assert.equal(stateWords({ ...alert, kind: "above", state: "armed" }).isArmed, true);
});
