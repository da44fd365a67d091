/** A portfolio's days as a chart draws them. Knows no DOM. */

import { date, money } from "./format.js";

/**
 * @typedef {{date: string, value: number|null, inflow: number, outflow: number, complete: boolean}} Day
 * @typedef {{time: string, value?: number, ends?: boolean, lone?: boolean}} Point
 */

/**
 * A day that is not wholly known is a gap: no value of its own, and no line across it.
 * @param {Day[]} days  oldest first
 * @returns {Point[]} `ends`: no line leads on from here; `lone`: none comes here either
 */
export function pointsOf(days) {
  return days.map((one, i) => {
    if (!isKnown(one)) return { time: one.date };
    const ends = i + 1 < days.length && !isKnown(days[i + 1]);
    const begins = i === 0 || !isKnown(days[i - 1]);
    return { time: one.date, value: /** @type {number} */ (one.value), ...(ends ? { ends } : {}), ...(begins && (ends || i + 1 === days.length) ? { lone: true } : {}) };
  });
}

export function isKnown(/** @type {Day} */ { value, complete }) {
  return complete && value !== null;
}

/**
 * The chart in words.
 * @param {Day[]} days
 * @param {string} currency
 */
export function summaryOf(days, currency) {
  const known = days.filter(isKnown);
  if (!known.length) return "No day with a known value yet";
  const [first, last] = [known[0], known[known.length - 1]];
  const values = known.map(({ value }) => /** @type {number} */ (value));
  const gaps = days.length - known.length;
  const missing = gaps ? `; ${gaps === 1 ? "1 day is" : `${gaps} days are`} incomplete and left out` : "";
  return (
    `Value from ${money(first.value, currency)} on ${date(first.date)} to ${money(last.value, currency)} on ${date(last.date)}, ` +
    `between ${money(Math.min(...values), currency)} and ${money(Math.max(...values), currency)}${missing}`
  );
}

/**
 * The date that it is now in a time zone, as the server's days are named.
 * @param {string} zone
 * @param {Date} [now]
 */
export function dateIn(zone, now = new Date()) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(now);
  const of = (/** @type {string} */ type) => parts.find((one) => one.type === type)?.value;
  return `${of("year")}-${of("month")}-${of("day")}`;
}
