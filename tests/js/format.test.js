import assert from "node:assert/strict";
import { test as anyTest } from "node:test";

import { addUp, arrow, compact, decimals, minorDigits, money, percent, price, priceDigits, signed } from "../../static/pages/format.js";

// The reader's locale decides how numbers look; these are the American ones.
const { locale } = new Intl.NumberFormat().resolvedOptions();
const test = (name, fn) => anyTest(name, { skip: locale === "en-US" ? false : `the locale is ${locale}` }, fn);

test("a price keeps what makes it a price, however small", () => {
  assert.equal(price(0.00001234), "0.00001234");
  assert.equal(price(1.2e-7), "0.00000012");
  assert.equal(price(43000.01), "43,000.01");
  assert.equal(price(150.25), "150.25");
  assert.equal(price(1.08345), "1.0835");
  assert.equal(price(null), "—");
});

test("decimals are counted as written", () => {
  assert.deepEqual([43000.01, 0.00001234, 1e-7, 5].map(decimals), [2, 8, 7, 0]);
  assert.deepEqual([43000.01, 0.00001234, 5].map(priceDigits), [2, 8, 2]);
});

test("direction is said by sign and arrow, never by colour alone", () => {
  assert.equal(signed(2.5, 2), "+2.50");
  assert.equal(signed(-2.5, 2), "\u22122.50");
  assert.equal(percent(1.69), "+1.69%");
  assert.deepEqual([1, -1, 0].map(arrow), ["▲", "▼", "■"]);
});

test("money follows its currency, and one that is no ISO code stands beside the number", () => {
  assert.equal(money(1234.5, "USD"), "$1,234.50");
  assert.equal(money(1234.5, "JPY"), "¥1,235");
  assert.equal(money(-5, "EUR", { sign: true }), "\u2212€5.00");
  assert.equal(money(5, "USDT"), "5.00 USDT");
  assert.equal(money(5, "GBp"), "5.00 GBp");
  assert.equal(money(0.12345678, "BTC"), "0.12345678 BTC");
  assert.equal(money(undefined, "USD"), "—");
});

test("rounded money adds up to the last digit, in the units that the server rounds to", () => {
  assert.deepEqual(["USD", "JPY", "KWD", "BTC", "USDT"].map(minorDigits), [2, 0, 3, 8, 2]);
  assert.equal(addUp([0.1, 0.2], "USD"), 0.3);
  assert.equal(addUp([1.005, -1.005, null], "KWD"), 0);
  assert.equal(addUp([0.1, 0.00000001], "BTC"), 0.10000001);
});

test("volumes are short", () => {
  assert.equal(compact(50000000), "50M");
  assert.equal(compact(12.34), "12.34");
});
