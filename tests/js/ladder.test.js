import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ladder, tradesAfter, unitsOf } from "../../static/pages/ladder.js";
import { size } from "../../static/pages/format.js";

describe("a ladder", () => {
  const book = { bids: [[100.01, 4], [100, 1]], asks: [[100.04, 2]] };

  test("has the best levels first, each with its share of the largest quantity", () => {
    const { bids, asks } = ladder(book);
    assert.deepEqual(bids, [{ price: 100.01, quantity: 4, share: 1 }, { price: 100, quantity: 1, share: 0.25 }]);
    assert.deepEqual(asks, [{ price: 100.04, quantity: 2, share: 0.5 }]);
  });

  test("tells the spread without the dust of doubles", () => {
    const { spread, percent } = ladder(book);
    assert.equal(spread, 0.03);
    assert.equal(percent.toFixed(4), "0.0300");
  });

  test("of one side alone has no spread", () => {
    assert.equal(ladder({ bids: book.bids, asks: [] }).spread, null);
    assert.deepEqual(ladder({ bids: [], asks: [] }).bids, []);
  });

  test("shows ten levels and reads figures that are text", () => {
    const deep = { bids: Array.from({ length: 50 }, (_, i) => [String(100 - i), "1"]), asks: [] };
    assert.equal(ladder(deep).bids.length, 10);
    assert.equal(ladder(deep).bids[9].price, 91);
  });

  test("gives quantities as many decimals as its largest needs, and still shows dust", () => {
    const { places } = ladder({ bids: [[1, 1.0097], [1, 0.00000472]], asks: [] });
    assert.equal(places, 4);
    assert.equal(size(0.5, places), "0.5000");
    assert.equal(size(0.00000472, places), "0.00000472");
  });

  test("does not round the others because its largest quantity is whole", () => {
    assert.equal(ladder({ bids: [[1, 23012], [1, 867.7]], asks: [] }).places, 1);
    assert.equal(ladder({ bids: [[1, 23012], [1, 1719.449087]], asks: [] }).places, 2);
  });
});

describe("trades", () => {
  const trades = [1, 2, 3].map((number) => ({ number }));

  test("after the last that was shown are new", () => {
    assert.deepEqual(tradesAfter(trades, trades[1]), { fresh: [trades[2]], isAnew: false });
    assert.deepEqual(tradesAfter(trades, trades[2]), { fresh: [], isAnew: false });
  });

  test("are all new when that one is gone", () => {
    assert.deepEqual(tradesAfter(trades, { number: 9 }), { fresh: trades, isAnew: true });
    assert.deepEqual(tradesAfter(trades, null), { fresh: trades, isAnew: true });
  });
});

test("volume is counted in what is traded", () => {
  assert.equal(unitsOf({ symbol: "EURUSD", base_currency: "EUR", currency: "USD" }), "EUR");
  assert.equal(unitsOf({ symbol: "BTC-USD", asset_class: "crypto", currency: "USD" }), "BTC");
  assert.equal(unitsOf({ symbol: "BTC", asset_class: "crypto", currency: "USD" }), "");
  assert.equal(unitsOf({ symbol: "AAPL", asset_class: "equity" }), "shares");
  assert.equal(unitsOf({ symbol: "X" }), "");
});
