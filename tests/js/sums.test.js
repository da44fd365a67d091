import assert from "node:assert/strict";
import { test } from "node:test";

import { sumsOf } from "../../static/pages/sums.js";

test("portfolios are added up by currency, to the last digit", () => {
  const portfolio = (currency, total_value, daily_change) => ({ currency, total_value, daily_change });
  assert.deepEqual(sumsOf([portfolio("EUR", 5, null), portfolio("USD", 0.1, 0.3), portfolio("USD", 0.2, -0.1)]), [
    { currency: "USD", count: 2, total: 0.3, today: 0.2 },
    { currency: "EUR", count: 1, total: 5, today: 0 },
  ]);
  assert.deepEqual(sumsOf([]), []);
});
