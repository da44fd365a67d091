import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Store } from "../../static/realtime/store.js";
import { KEPT_TRADES, Streams } from "../../static/realtime/streams.js";

const trade = (number, more = {}) => ({ symbol: "A", number, epoch: 1, source: "s", price: 1, quantity: 1, ...more });
const bar = (start, close, more = {}) => ({ symbol: "A", interval: "1m", start, close, ...more });
const snapshot = (seq, bids, asks = [], more = {}) => ({
  type: "book_snapshot",
  data: { symbol: "A", bids, asks, seq, epoch: 1, as_of: "t", source: "s", ...more },
});
const update = (seq, previous_seq, changes, more = {}) => ({
  type: "book_update",
  data: { symbol: "A", changes, seq, previous_seq, epoch: 1, as_of: "u", ...more },
});
const numbers = (streams) => streams.trades.get("A").map(({ number }) => number);

describe("trades", () => {
  test("are kept in their order, the last fifty, none twice", () => {
    const streams = new Streams();
    streams.apply({ type: "trades", data: [trade(1), trade(2)] });
    for (const number of [2, 3, 1, 4]) streams.apply({ type: "trade", data: trade(number) });
    assert.deepEqual(numbers(streams), [1, 2, 3, 4]);
    for (let number = 5; number < 100; number += 1) streams.apply({ type: "trade", data: trade(number) });
    assert.equal(numbers(streams).length, KEPT_TRADES);
    assert.equal(numbers(streams).at(-1), 99);
  });

  test("of a new epoch are counted anew", () => {
    const streams = new Streams();
    streams.apply({ type: "trade", data: trade(9) });
    streams.apply({ type: "trade", data: trade(1, { epoch: 2 }) });
    assert.deepEqual(numbers(streams), [9, 1]);
  });
});

describe("a book", () => {
  test("is its snapshot and the changes after it, best first", () => {
    const streams = new Streams();
    streams.apply(snapshot(5, [[10, 1], [9, 2]], [[11, 1]]));
    streams.apply(
      update(7, 5, [["bid", 9, 0], ["bid", 10, 4], ["bid", 9.5, 3], ["ask", 12, 1], ["ask", 10.5, 2]]),
    );
    const book = streams.books.get("A");
    assert.deepEqual(book.bids, [[10, 4], [9.5, 3]]);
    assert.deepEqual(book.asks, [[10.5, 2], [11, 1], [12, 1]]);
    assert.equal(book.seq, 7);
    assert.equal(book.as_of, "u");
    assert.equal(book.source, "s");
  });

  test("of strings keeps them, and one price written in two ways is one", () => {
    const streams = new Streams();
    streams.apply(snapshot(1, [["10.0", "1"], ["9", "2"]]));
    streams.apply(update(2, 1, [["bid", "10.0", "0"], ["bid", "10", "0.50"]]));
    assert.deepEqual(streams.books.get("A").bids, [["10", "0.50"], ["9", "2"]]);
  });

  test("with a hole is gone until the next snapshot, which is asked for once", () => {
    const streams = new Streams();
    const holes = [];
    const end = streams.onHole((symbol) => holes.push(symbol));
    streams.apply(snapshot(1, [[10, 1]]));
    streams.apply(update(4, 3, [["bid", 10, 2]]));
    streams.apply(update(5, 4, [["bid", 10, 3]]));
    assert.equal(streams.books.get("A"), undefined);
    assert.deepEqual(holes, ["A"]);
    streams.apply(snapshot(5, [[10, 3]]));
    streams.apply(update(6, 5, [["bid", 10, 4]], { epoch: 2 }));
    assert.deepEqual(holes, ["A", "A"]);
    end();
    streams.apply(snapshot(7, [[10, 3]]));
    streams.apply(update(9, 8, []));
    assert.equal(holes.length, 2);
  });
});

describe("bars", () => {
  test("are in the order of their starts, the newest state of each", () => {
    const streams = new Streams();
    for (const one of [bar("t1", 1), bar("t3", 3), bar("t2", 2), bar("t1", 5, { revised: true })]) {
      streams.apply({ type: "bar", data: one });
    }
    streams.apply({ type: "bar", data: bar("d1", 9, { interval: "1d" }) });
    assert.deepEqual(streams.bars("A").map(({ start, close }) => [start, close]), [["t1", 5], ["t2", 2], ["t3", 3]]);
    assert.equal(streams.bars("A", "1d")[0].close, 9);
    assert.deepEqual(streams.bars("B"), []);
  });
});

describe("the store", () => {
  test("says which symbols' channels said something and forgets them on a new connection", () => {
    const store = new Store();
    let calls = 0;
    store.onChange(() => (calls += 1));
    store.apply({ type: "trades", data: [trade(1), trade(2, { symbol: "B" })] });
    store.apply(snapshot(1, []));
    store.apply({ type: "market_notice", data: { symbol: "C", kind: "price_bands" } });
    store.apply({ type: "who_knows", data: {} });
    assert.deepEqual([...store.takeChanges().streams], ["A", "B", "C"]);
    assert.equal(store.takeChanges().streams.size, 0);
    assert.equal(calls, 3);
    assert.equal(store.streams.notices.get("C").length, 1);
    store.apply({ type: "connection", data: { epoch: {} } });
    assert.equal(store.streams.trades.size + store.streams.books.size + store.streams.notices.size, 0);
  });

  test("keeps the newest account events first", () => {
    const store = new Store();
    for (let key = 0; key < 120; key += 1) store.apply({ type: "account_event", data: { source: "s", key } });
    assert.equal(store.accountEvents.length, 100);
    assert.equal(store.accountEvents[0].key, 119);
    assert.equal(store.takeChanges().account, true);
    assert.equal(store.takeChanges().account, false);
  });
});

test("what is forgotten is gone of one symbol alone", () => {
  const streams = new Streams();
  for (const symbol of ["A", "B"]) {
    streams.apply({ type: "trade", data: trade(1, { symbol }) });
    streams.apply({ type: "bar", data: bar("t", 1, { symbol }) });
    streams.apply(snapshot(1, [[1, 1]], [], { symbol }));
  }
  streams.forget("A");
  assert.deepEqual([...streams.trades.keys(), ...streams.books.keys()], ["B", "B"]);
  assert.deepEqual([streams.bars("A").length, streams.bars("B").length], [0, 1]);
});
