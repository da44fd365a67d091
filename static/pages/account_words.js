/** What happened in the account behind a source's key, in words. Knows no DOM. */

import { kindWords } from "./words.js";

/** @typedef {{source: string, kind: string, key: string, as_of: string, symbol: string|null, details: Record<string, any>}} AccountEvent */

const MOST = 5; // details in a line; all of them stand in its title
// Vendors name them differently; whichever is there is what people look for first.
const FIRST = ["status", "order_status", "type", "reason", "side", "transaction_type", "size", "quantity", "price", "average_price"];
const KINDS = /** @type {Record<string, string>} */ ({ gtt: "GTT" });

export function accountTitle(/** @type {AccountEvent} */ { kind, symbol, key }) {
  return `${KINDS[kind] ?? kindWords(kind)} ${symbol ?? key}`.trim();
}

/**
 * @param {AccountEvent} event
 * @param {number} [most]
 */
export function accountDetails({ details }, most = MOST) {
  const known = Object.entries(details ?? {}).filter(([, value]) => isPlain(value));
  const rank = (/** @type {string} */ name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  known.sort(([one], [other]) => rank(one) - rank(other));
  return known.slice(0, most).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(" · ");
}

/**
 * Both lists newest first; what came over REST and over the socket is one event.
 * @param {ReadonlyArray<AccountEvent>} live
 * @param {ReadonlyArray<AccountEvent>} stored
 * @returns {AccountEvent[]}
 */
export function together(live, stored) {
  const known = new Map([...live, ...stored].map((event) => [identity(event), event]));
  return [...known.values()].sort((one, other) => Date.parse(other.as_of) - Date.parse(one.as_of));
}

function identity(/** @type {AccountEvent} */ { source, kind, key, as_of, symbol, details }) {
  return JSON.stringify([source, kind, key, as_of, symbol, details]);
}

function isPlain(/** @type {any} */ value) {
  return (typeof value === "string" && value !== "") || typeof value === "number" || typeof value === "boolean";
}
