import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { bodyOf, dayAndClock, fieldsOf, labelOf, momentOf } from "../../static/pages/form_fields.js";

const BUY = { label: "Buy", needed: ["symbol", "quantity", "price"], optional: ["fee", "fee_currency", "lots", "rate", "note"] };
const DIVIDEND = { label: "Dividend", needed: ["symbol", "amount"], optional: ["currency", "tax", "pay_time", "fee", "note"] };
const names = (fields) => fields.map(({ name }) => name);

describe("the fields of a type", () => {
  test("are in sight where it needs them or most people have them", () => {
    const { main, advanced } = fieldsOf("buy", BUY);
    assert.deepEqual(names(main), ["symbol", "quantity", "price", "fee"]);
    assert.deepEqual(names(advanced), ["fee_currency", "rate", "lots", "note"]);
    assert.deepEqual(names(fieldsOf("dividend", DIVIDEND).main), ["symbol", "amount", "currency", "tax", "pay_time"]);
  });

  test("are asked for where they are needed", () => {
    assert.deepEqual(names(fieldsOf("buy", BUY).main.filter(({ required }) => required)), BUY.needed);
  });

  test("are called what they are with that type", () => {
    assert.equal(labelOf("price"), "Price");
    assert.equal(labelOf("price", "exercise"), "Strike price");
    assert.equal(labelOf("base_value"), null);
  });

  test("are only those that the server knows", () => {
    assert.deepEqual(fieldsOf("buy", { label: "Buy", needed: [], optional: [] }), { main: [], advanced: [] });
  });
});

describe("what is sent", () => {
  test("is what is filled in, as it was typed", () => {
    const { main, advanced } = fieldsOf("buy", BUY);
    const values = { symbol: " AAPL ", quantity: "0.100000000000000001", price: "10", fee: "", rate: "1.1", lots: [], amount: "7" };
    assert.deepEqual(bodyOf("buy", [...main, ...advanced], values, undefined), {
      type: "buy",
      symbol: "AAPL",
      quantity: "0.100000000000000001",
      price: "10",
      rate: "1.1",
    });
  });
});

test("a day alone stays a day, a time is a moment, and none is left to the server", () => {
  assert.equal(momentOf("2026-11-20", ""), "2026-11-20");
  assert.equal(momentOf("2026-11-20", "10:00:00"), new Date("2026-11-20T10:00:00").toISOString());
  assert.equal(momentOf("", "10:00"), undefined);
  const now = new Date(2026, 10, 20, 9, 5, 7);
  assert.deepEqual(dayAndClock(now), ["2026-11-20", "09:05"]);
});
