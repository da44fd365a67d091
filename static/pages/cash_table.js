/** Cash by currency, and what is to be paid; a click on today's change explains it. */

import { el, part, setDirection, setText } from "./dom.js";
import { cashLabel } from "./explain.js";
import { money, price } from "./format.js";

export class CashTable {
  #drawn = "";

  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
  }

  paint(/** @type {import("../realtime/store.js").Portfolio} */ portfolio) {
    const { cash_positions: positions = [], currency } = portfolio;
    const drawn = JSON.stringify([positions, currency]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const rows = part(this.root, "rows");
    const keys = positions.map(keyOf).join();
    // Rows stay while their currencies do, so that a focused figure keeps the focus.
    if (rows.dataset.keys !== keys) {
      rows.dataset.keys = keys;
      rows.replaceChildren(...positions.map(row));
    }
    positions.forEach((/** @type {any} */ one, /** @type {number} */ index) => paintRow(rows.children[index], one, currency));
    part(this.root, "wrap").hidden = positions.length === 0;
    part(this.root, "empty").hidden = positions.length !== 0;
  }
}

function keyOf(/** @type {any} */ { currency, receivable }) {
  return `${currency}${receivable ? "+" : ""}`;
}

/**
 * @param {any} position
 * @param {number} index
 */
function row(position, index) {
  const cell = (/** @type {string} */ name, /** @type {string} */ column = "") => el("td", { "data-f": name, class: column });
  const today = el("button", { class: "figure", type: "button", "data-figure": "daily_change", "data-f": "today", "aria-haspopup": "dialog", title: "Today: explain" });
  return el(
    "tr",
    { "data-cash": index, "data-currency": position.currency },
    el("th", { scope: "row", text: cashLabel(position) }),
    cell("amount"),
    cell("rate", "col-rate"),
    cell("value"),
    el("td", {}, today),
  );
}

/**
 * @param {HTMLElement} element
 * @param {any} position
 * @param {string} base
 */
function paintRow(element, { currency, amount, rate, value, daily_change: change }, base) {
  setText(part(element, "amount"), money(amount, currency));
  setText(part(element, "rate"), currency === base ? "" : rate == null ? "no rate" : price(rate, 6));
  setText(part(element, "value"), money(value, base));
  setText(part(element, "today"), money(change, base, { sign: true }));
  setDirection(part(element, "today"), change);
}
