import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { coverageText, explainCash, explainPortfolio, explainPosition, newestPrice } from "../../static/pages/explain.js";
import { kindWords, reasonWords, rowTitle } from "../../static/pages/words.js";

const PARTS = { price: 375, currency: -2.22, trades: 1.1, income: 0, fees: -1.32, rounding: -0.01 };
const position = (symbol, fields = {}) => ({
  symbol,
  name: `${symbol} Inc.`,
  currency: "USD",
  quantity: 10,
  price: 10,
  rate: 1,
  value: 100,
  cost_base: 90,
  cost: 90,
  fees: 1,
  daily_change: 372.55,
  explain: PARTS,
  unrealized: 10,
  unrealized_price: 12,
  unrealized_currency: -2,
  as_of: "2026-11-20T15:00:00.000000Z",
  ...fields,
});
const portfolio = (fields = {}) => ({
  portfolio_id: 1,
  currency: "USD",
  total_value: 300.01,
  daily_change: 372.55,
  explain: PARTS,
  cash: 100,
  realized: 7.5,
  realized_today: 2.25,
  fees: 3,
  taxes: 0,
  unrealized: 20,
  unpriced: [],
  unexplained: [],
  positions: [position("A"), position("B")],
  cash_positions: [
    { currency: "USD", amount: 50, rate: 1, value: 50, daily_change: 0, explain: { ...PARTS } },
    { currency: "EUR", amount: 40, rate: 1.25, value: 50, daily_change: 1, explain: { ...PARTS } },
  ],
  ...fields,
});
/** In cents, as the server rounds. */
const sum = ({ parts }) => parts.reduce((total, { amount }) => total + Math.round(amount * 100), 0) / 100;

describe("a portfolio's figures", () => {
  test("are the sum of their parts to the last digit", () => {
    for (const figure of ["total_value", "daily_change", "unrealized", "realized", "fees", "cash"]) {
      const explained = explainPortfolio(portfolio(), figure);
      assert.equal(sum(explained), explained.amount, figure);
    }
  });

  test("name what rounding left over", () => {
    const labels = ({ parts }) => parts.map(({ label }) => label);
    assert.deepEqual(labels(explainPortfolio(portfolio(), "total_value")), ["A", "B", "Cash in USD", "Cash in EUR", "Rounding"]);
    assert.deepEqual(labels(explainPortfolio(portfolio({ total_value: 300 }), "total_value")), ["A", "B", "Cash in USD", "Cash in EUR"]);
    assert.deepEqual(labels(explainPortfolio(portfolio(), "daily_change")), ["Price", "Currency", "Trades", "Income", "Fees", "Rounding"]);
  });

  test("say what is not in them, and why", () => {
    const lacking = portfolio({ unpriced: [{ symbol: "B", reason: "no_rate" }], unexplained: ["A"] });
    const { notes } = explainPortfolio(lacking, "daily_change");
    assert.deepEqual(notes, [
      "B is not in it: no exchange rate.",
      "A is in the total, but not in today's change: its previous close is not known.",
    ]);
    assert.equal(coverageText(lacking), "2 of 3");
  });

  test("leave out what is closed when counting what is priced", () => {
    const closed = portfolio({ positions: [position("A"), position("B", { quantity: 0, value: 0 })], cash_positions: [] });
    assert.equal(coverageText(closed), "1 of 1");
  });

  test("stand even before the server says more than their sums", () => {
    const old = { portfolio_id: 1, currency: "USD", total_value: 5, cash: 5, positions: [] };
    assert.deepEqual(explainPortfolio(old, "total_value").parts, [{ label: "Cash", amount: 5 }]);
    assert.deepEqual(explainPortfolio(old, "daily_change").parts, []);
    assert.equal(newestPrice(old), null);
  });

  test("are only those that exist", () => {
    assert.equal(explainPortfolio(portfolio(), "luck"), null);
    assert.equal(explainPosition(portfolio(), "Z", "value"), null);
    assert.equal(explainCash(portfolio(), 5), null);
  });
});

describe("a position's figures", () => {
  test("are the sum of their parts", () => {
    for (const figure of ["daily_change", "unrealized"]) {
      const explained = explainPosition(portfolio(), "A", figure);
      assert.equal(sum(explained), explained.amount, figure);
    }
  });

  test("show the rate of a foreign one only", () => {
    const names = (explained) => explained.facts.map(([name]) => name);
    const foreign = portfolio({ positions: [position("A", { currency: "EUR", rate: 1.1 })] });
    assert.ok(names(explainPosition(foreign, "A", "value")).includes("Exchange rate"));
    assert.ok(!names(explainPosition(portfolio(), "A", "value")).includes("Exchange rate"));
    assert.ok(names(explainCash(portfolio(), 1)).includes("Exchange rate"));
  });

  test("say why they are not known", () => {
    const unpriced = portfolio({ positions: [position("A", { reason: "no_price", value: null, daily_change: null, explain: null })] });
    assert.match(explainPosition(unpriced, "A", "value").lead, /no price yet/);
    assert.match(explainPosition(unpriced, "A", "daily_change").lead, /no price yet/);
    assert.equal(explainPosition(unpriced, "A", "value").text, "—");
    const bare = portfolio({ positions: [position("A", { unrealized_price: undefined, unrealized_currency: undefined })] });
    assert.deepEqual(explainPosition(bare, "A", "unrealized").parts, []);
  });
});

test("codes are said in words", () => {
  assert.equal(reasonWords("no_price"), "no price yet");
  assert.equal(reasonWords("something_new"), "something new");
  assert.equal(reasonWords(null), "");
  assert.equal(kindWords("return_of_capital"), "Return of capital");
  assert.equal(rowTitle({ type: "buy", symbol: "A" }), "Bought A");
  assert.equal(rowTitle({ type: "deposit" }), "Deposit");
  assert.equal(rowTitle({ type: "dividend", symbol: "A" }), "Dividend of A");
  assert.equal(rowTitle({ type: "merger", symbol: "A", other_symbol: "B" }), "Merger of A into B");
  assert.equal(rowTitle({ type: "reversal", reverses: 7 }), "Reversal of row 7");
});
