/** What a preview of an import says, in words. Knows no DOM. */

/**
 * @typedef {{line: number, column: string, message: string}} Problem
 * @typedef {{symbol: string, isin: string, name: string, currency: string, rows: number, asset: string|null}} FileSymbol
 * @typedef {{
 *   booked: boolean, preset: string|null, delimiter: string, encoding: string,
 *   rows: number, new: number, duplicates: number,
 *   problems: Problem[], more_problems: number, left_out: Problem[], more_left_out?: number,
 *   symbols: FileSymbol[], sample: Array<Record<string, any>>,
 * }} Preview
 */

const DELIMITERS = /** @type {Record<string, string>} */ ({ ",": "comma", ";": "semicolon", "\t": "tab", "|": "bar" });

/**
 * Whether the file can be booked as it is, and why not.
 * @param {Preview} preview
 * @returns {{isGood: boolean, text: string}}
 */
export function verdictOf({ booked, rows, new: fresh, duplicates, problems, more_problems: more }) {
  const doubles = duplicates ? ` ${many(duplicates, "row")} ${duplicates === 1 ? "is" : "are"} there already and will not be booked twice.` : "";
  if (booked) return { isGood: true, text: `${many(fresh, "row")} booked.${duplicates ? ` ${many(duplicates, "row")} ${duplicates === 1 ? "was" : "were"} there already.` : ""}` };
  const wrong = problems.length + more;
  if (wrong) return { isGood: false, text: `${many(wrong, "problem")} to solve first: a file is imported as a whole, or not at all. Nothing is stored.` };
  if (!rows) return { isGood: false, text: "The file has no rows." };
  if (!fresh) return { isGood: false, text: `Nothing new: every row of the file is in this portfolio already.` };
  return { isGood: true, text: `${many(fresh, "row")} can be imported.${doubles} Nothing is stored yet.` };
}

/** How the file was read: "Interactive Brokers, split by semicolon, UTF-8". */
export function readingOf(/** @type {Preview} */ { preset, delimiter, encoding }, /** @type {Record<string, string>} */ titles) {
  const parts = [preset ? (titles[preset] ?? preset) : "unknown kind of file"];
  if (delimiter) parts.push(`split by ${DELIMITERS[delimiter] ?? delimiter}`);
  if (encoding) parts.push(encoding);
  return parts.join(", ");
}

/** What a mapping is keyed by: the first name that the file has for an asset. */
export function keyOf(/** @type {FileSymbol} */ { symbol, isin, name }) {
  return symbol || isin || name;
}

/**
 * @param {number} count
 * @param {string} what
 */
export function many(count, what) {
  return `${count.toLocaleString()} ${what}${count === 1 ? "" : "s"}`;
}
