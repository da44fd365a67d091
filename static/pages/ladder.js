/** An order book as a ladder shows it, and the trades that are new to a list. Knows no DOM. */

import { mostSizeDigits, priceDigits, sizeDigits } from "./format.js";

/**
 * @typedef {import("../realtime/streams.js").Book} Book
 * @typedef {import("../realtime/streams.js").Trade} Trade
 * @typedef {{price: number, quantity: number, share: number}} Rung  `share` of the largest quantity that is shown
 */

export const LEVELS = 10;

/**
 * @param {Book} book
 * @param {number} [most]
 */
export function ladder(book, most = LEVELS) {
  const numbers = (/** @type {any[]} */ levels) => levels.slice(0, most).map(([price, quantity]) => [Number(price), Number(quantity)]);
  const [bids, asks] = [numbers(book.bids), numbers(book.asks)];
  const largest = Math.max(...[...bids, ...asks].map(([, quantity]) => quantity), Number.MIN_VALUE);
  /** @returns {Rung[]} */
  const rungs = (/** @type {number[][]} */ side) => side.map(([price, quantity]) => ({ price, quantity, share: quantity / largest }));
  const digits = [...bids, ...asks].reduce((found, [price]) => Math.max(found, priceDigits(price)), 2);
  const places = Math.min(mostSizeDigits(largest), Math.max(0, ...[...bids, ...asks].map(([, quantity]) => sizeDigits(quantity))));
  const known = bids.length > 0 && asks.length > 0;
  const spread = known ? Number((asks[0][0] - bids[0][0]).toFixed(digits)) : null;
  const middle = known ? (asks[0][0] + bids[0][0]) / 2 : 0;
  const percent = spread !== null && middle > 0 ? (100 * spread) / middle : null;
  return { bids: rungs(bids), asks: rungs(asks), digits, places, spread, percent };
}

/**
 * Of trades, oldest first, those after the last one that was shown; all of them when that one is gone.
 * @param {ReadonlyArray<Trade>} trades
 * @param {Trade|null} shown
 * @returns {{fresh: ReadonlyArray<Trade>, isAnew: boolean}}
 */
export function tradesAfter(trades, shown) {
  const place = shown === null ? -1 : trades.lastIndexOf(shown);
  return { fresh: trades.slice(place + 1), isAnew: place < 0 };
}

/**
 * What an asset's volume counts: "BTC" of BTC-USD, "shares" of a stock; empty where that is not known.
 * @param {{symbol?: string, base_currency?: string, currency?: string, asset_class?: string}} asset
 */
export function unitsOf({ symbol = "", base_currency, currency, asset_class }) {
  if (base_currency) return base_currency;
  const [base, quoted] = symbol.split(/[-/]/);
  if (asset_class === "crypto") return quoted && quoted === currency ? base : "";
  return { equity: "shares", fund: "shares", option: "contracts" }[asset_class ?? ""] ?? "";
}
