/** What an alert waits for and what made it fire, in words. Knows no DOM. */

import { percent, price, quantity } from "./format.js";

/**
 * @typedef {{kind: string, threshold: number, window_minutes?: number|null, hysteresis?: number,
 *   hysteresis_unit?: string, state?: string}} Alert
 * @typedef {{symbol: string, kind: string, threshold: number, price: number, reference: number|null}} Firing
 */

/** "At or above 150.00", "Moves by 5% within 10 minutes" */
export function conditionWords(/** @type {Alert} */ { kind, threshold, window_minutes: minutes }) {
  if (kind === "above") return `At or above ${price(threshold)}`;
  if (kind === "below") return `At or below ${price(threshold)}`;
  if (kind === "crossing") return `Crosses ${price(threshold)}`;
  const within = minutes ? ` within ${minutes === 1 ? "a minute" : `${minutes} minutes`}` : "";
  return `Moves by ${quantity(threshold)}%${within}`;
}

/** "At or above 150.00", "Moved +5.12% from 143.00" */
export function firedWords(/** @type {Firing} */ firing) {
  const { kind, threshold, reference } = firing;
  if (kind === "crossing") return `Crossed ${price(threshold)}`;
  if (kind !== "percent_move") return conditionWords(firing);
  if (!reference) return `Moved by ${quantity(threshold)}%`;
  return `Moved ${percent((100 * (firing.price - reference)) / Math.abs(reference))} from ${price(reference)}`;
}

/** Where it stands: what is said, and whether it can fire now. */
export function stateWords(/** @type {Alert} */ { kind, threshold, hysteresis = 0, hysteresis_unit: unit, state }) {
  if (state === "armed") return { text: "armed", isArmed: true };
  if (state === "done") return { text: "has fired", isArmed: false };
  const gap = unit === "price" ? hysteresis : (Math.abs(threshold) * hysteresis) / 100;
  if (kind === "above") return { text: `fired, until ${price(threshold - gap)}`, isArmed: false };
  if (kind === "below") return { text: `fired, until ${price(threshold + gap)}`, isArmed: false };
  return { text: `fired, until ${price(gap)} away`, isArmed: false };
}
