import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Store } from "../../static/realtime/store.js";

const quote = (more = {}) => ({ symbol: "A", price: 1, source: "simulator", seq: 1, ...more });
const position = (symbol, value) => ({ symbol, value });

function fresh() {
  const store = new Store();
  store.apply({ type: "connection", data: { epoch: { simulator: 7 } } });
  return store;
}

describe("quotes", () => {
  test("of one epoch never go back", () => {
    const store = fresh();
    store.apply({ type: "asset_update", data: quote({ seq: 5, price: 5 }) });
    store.apply({ type: "asset_update", data: quote({ seq: 4, price: 4 }) });
    assert.equal(store.quotes.get("A").price, 5);
    store.apply({ type: "asset_update", data: quote({ seq: 5, price: 5, stale: true }) });
    assert.equal(store.quotes.get("A").stale, true);
  });

  test("of a new epoch start again at any number", () => {
    const store = fresh();
    store.apply({ type: "asset_update", data: quote({ seq: 900, price: 5 }) });
    store.apply({ type: "feed_status", data: { source: "simulator", state: "live", epoch: 8 } });
    store.apply({ type: "asset_update", data: quote({ seq: 1, price: 6 }) });
    assert.equal(store.quotes.get("A").price, 6);
    store.apply({ type: "asset_update", data: quote({ seq: 950, price: 5, epoch: 7 }) });
    assert.equal(store.quotes.get("A").price, 6);
  });

  test("of a new connection start again, even where Redis lost its count", () => {
    const store = fresh();
    store.apply({ type: "asset_update", data: quote({ seq: 900, price: 5, epoch: 7 }) });
    store.apply({ type: "connection", data: { epoch: { simulator: 1 } } });
    store.apply({ type: "asset_update", data: quote({ seq: 1, price: 6, epoch: 1 }) });
    assert.equal(store.quotes.get("A").price, 6);
  });

  test("of two sources are not compared", () => {
    const store = fresh();
    store.apply({ type: "asset_update", data: quote({ seq: 900 }) });
    store.apply({ type: "asset_update", data: quote({ seq: 1, source: "coinbase", price: 2 }) });
    assert.equal(store.quotes.get("A").price, 2);
  });

  test("from REST fill holes only", () => {
    const store = fresh();
    store.seedQuote(null);
    store.seedQuote(quote({ price: 1, seq: undefined }));
    store.apply({ type: "asset_updates", data: [quote({ price: 2 })] });
    store.seedQuote(quote({ price: 3, seq: 9 }));
    assert.equal(store.quotes.get("A").price, 2);
  });
});

describe("portfolios", () => {
  test("take the changed positions of a partial update and keep the others", () => {
    const store = fresh();
    const first = { portfolio_id: 1, total_value: 10, positions: [position("A", 4), position("B", 6)], complete: true };
    store.apply({ type: "portfolio_update", data: first });
    const next = { portfolio_id: 1, total_value: 11, positions: [position("B", 7)], complete: false };
    store.apply({ type: "portfolio_update", data: next });
    const merged = store.portfolios.get(1);
    assert.equal(merged.total_value, 11);
    assert.deepEqual(merged.positions, [position("A", 4), position("B", 7)]);
    assert.deepEqual(first.positions[1], position("B", 6));
  });

  test("take a complete update whole, so that what was sold goes", () => {
    const store = fresh();
    store.apply({ type: "portfolio_update", data: { portfolio_id: 1, positions: [position("A", 4)], complete: true } });
    store.apply({ type: "portfolio_update", data: { portfolio_id: 1, positions: [position("B", 1)], complete: true } });
    assert.deepEqual(store.portfolios.get(1).positions, [position("B", 1)]);
  });

  test("that are removed go", () => {
    const store = fresh();
    store.apply({ type: "portfolio_update", data: { portfolio_id: 1, positions: [] } });
    store.apply({ type: "portfolio_removed", data: { portfolio_id: 1, reason: "deleted" } });
    assert.equal(store.portfolios.has(1), false);
    assert.ok(store.takeChanges().portfolios.has(1));
  });
});

describe("feeds", () => {
  test("run while they deliver or are about to", () => {
    const store = fresh();
    for (const [state, running] of Object.entries({
      live: true, connecting: true, recovering: true, standby: true,
      silent: false, down: false, failed: false, ended: false,
    })) {
      store.apply({ type: "feed_status", data: { source: "simulator", state } });
      assert.equal(store.isRunning("simulator"), running, state);
    }
    assert.equal(store.isRunning("nobody"), false);
    assert.equal(store.isRunning(null), false);
  });
});

test("a new epoch of a known source is a gap, its first one is not", () => {
  const store = fresh();
  store.apply({ type: "feed_status", data: { source: "simulator", state: "live", epoch: 7 } });
  assert.equal(store.takeChanges().gaps.size, 0);
  store.apply({ type: "feed_status", data: { source: "simulator", state: "live", epoch: 8 } });
  assert.deepEqual([...store.takeChanges().gaps], ["simulator"]);
});

test("changes are handed out once, however many frames made them", () => {
  const store = fresh();
  let calls = 0;
  const off = store.onChange(() => calls++);
  for (let seq = 1; seq <= 3; seq++) store.apply({ type: "asset_update", data: quote({ seq }) });
  store.apply({ type: "pong", data: {} });
  off();
  store.apply({ type: "asset_update", data: quote({ seq: 4 }) });
  assert.equal(calls, 3);
  assert.deepEqual([...store.takeChanges().symbols], ["A"]);
  assert.equal(store.takeChanges().symbols.size, 0);
});
