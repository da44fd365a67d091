/** Several portfolios together: sums by currency, because nothing is converted here. Knows no DOM. */

import { addUp } from "./format.js";

/**
 * @param {Iterable<import("../realtime/store.js").Portfolio>} portfolios
 * @returns {Array<{currency: string, count: number, total: number, today: number}>} the largest group first
 */
export function sumsOf(portfolios) {
  /** @type {Map<string, any[]>} */
  const groups = new Map();
  for (const portfolio of portfolios) groups.set(portfolio.currency, [...(groups.get(portfolio.currency) ?? []), portfolio]);
  const sums = [...groups].map(([currency, group]) => ({
    currency,
    count: group.length,
    total: addUp(group.map(({ total_value: value }) => value), currency),
    today: addUp(group.map(({ daily_change: change }) => change), currency),
  }));
  return sums.sort((a, b) => b.count - a.count || a.currency.localeCompare(b.currency));
}
