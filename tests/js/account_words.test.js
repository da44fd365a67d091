import assert from "node:assert/strict";
import { test } from "node:test";

import { accountDetails, accountTitle, together } from "../../static/pages/account_words.js";

const event = (second, more = {}) => ({
  source: "coinbase",
  kind: "order",
  key: "o-1",
  as_of: `2026-11-20T14:30:0${second}.000000Z`,
  symbol: "BTC-USD",
  details: { order_id: "o-1", size: "0.5", status: "open", nested: { a: 1 }, empty: "" },
  ...more,
});

test("an event is titled by its kind and what it is about", () => {
  assert.equal(accountTitle(event(1)), "Order BTC-USD");
  assert.equal(accountTitle(event(1, { kind: "gtt" })), "GTT BTC-USD");
  assert.equal(accountTitle(event(1, { kind: "balance", symbol: null, key: "USD" })), "Balance USD");
});

test("what people look for first stands first among its details", () => {
  assert.equal(accountDetails(event(1)), "status open · size 0.5 · order id o-1");
  assert.equal(accountDetails(event(1), 1), "status open");
});

test("what came over REST and over the socket is one event, newest first", () => {
  const live = [event(3), event(2)];
  assert.deepEqual(together(live, [event(2), event(1)]).map(({ as_of }) => as_of.at(18)), ["3", "2", "1"]);
});
