/** What the server's codes are called by people. */

/** Why a position has no value. */
const REASONS = /** @type {Record<string, string>} */ ({
  no_price: "no price yet",
  no_rate: "no exchange rate",
  expired: "expired",
  quarantined: "price held back as implausible",
});

/** What has happened, where that is said differently from what it is called. */
const DONE = /** @type {Record<string, string>} */ ({ buy: "Bought", sell: "Sold" });

export const PERIODS = /** @type {Record<string, string>} */ ({
  "1w": "1 week",
  "1m": "1 month",
  ytd: "This year",
  "1y": "1 year",
  all: "Since the start",
});

export function reasonWords(/** @type {string|null|undefined} */ reason) {
  return reason ? (REASONS[reason] ?? reason.replaceAll("_", " ")) : "";
}

/** "cash_in_lieu" → "Cash in lieu" */
export function kindWords(/** @type {string} */ kind) {
  const words = kind.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * @param {{type: string, symbol?: string|null, other_symbol?: string|null, reverses?: number|null}} row
 * @returns {string} a row's title: "Bought AAPL", "Dividend of AAPL", "Merger of AAPL into MSFT"
 */
export function rowTitle({ type, symbol, other_symbol: other, reverses }) {
  if (type === "reversal") return `Reversal of row ${reverses}`;
  if (DONE[type]) return `${DONE[type]} ${symbol ?? ""}`.trim();
  const name = kindWords(type);
  if (!symbol) return name;
  return other ? `${name} of ${symbol} into ${other}` : `${name} of ${symbol}`;
}
