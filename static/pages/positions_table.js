/** What a portfolio holds, a row each; a click on a figure explains it, and a row may open to its lots. */

import { el, part, setAttribute, setDirection, setText } from "./dom.js";
import { addUp, arrow, moment, money, percent, price, priceDigits, quantity } from "./format.js";
import { reasonWords } from "./words.js";

/** @typedef {import("../realtime/store.js").Portfolio} Portfolio */
/** @typedef {{element: HTMLElement, close: () => void}} Panel  what a row opens to */

/** Columns whose natural first order is A to Z; all others begin with the largest. */
const ASCENDING_FIRST = new Set(["symbol"]);

export class PositionsTable {
  /** @type {Map<string, PositionRow>} */ #rows = new Map();
  #key = "value";
  #descending = true;
  #id = 0;

  /**
   * @param {HTMLElement} root
   * @param {{
   *   onSelect?: (symbol: string) => void,
   *   openLots?: (symbol: string) => Panel,
   *   emptyText?: string,
   * }} [options]
   */
  constructor(root, { onSelect, openLots, emptyText = "Nothing is held yet." } = {}) {
    this.root = root;
    this.handlers = { onSelect, openLots };
    this.emptyText = emptyText;
    this.body = part(root, "rows");
    for (const header of root.querySelectorAll("th[data-sort]")) {
      header.querySelector("button")?.addEventListener("click", () => this.#sortBy(header.getAttribute("data-sort") ?? ""));
    }
  }

  paint(/** @type {Portfolio} */ portfolio) {
    if (portfolio.portfolio_id !== this.#id) this.#clear(portfolio.portfolio_id);
    const { positions, currency } = portfolio;
    this.#reconcile(positions, currency);
    this.#order();
    const empty = part(this.root, "empty");
    empty.hidden = positions.length > 0;
    if (!positions.length && !empty.childElementCount) empty.append(el("p", { text: this.emptyText }));
    part(this.root, "wrap").hidden = positions.length === 0;
    setText(part(this.root, "count"), positions.length ? String(positions.length) : "");
    this.#paintSums(portfolio);
  }

  #clear(/** @type {number} */ id) {
    this.#id = id;
    this.#rows.clear();
    this.body.replaceChildren();
  }

  /**
   * @param {ReadonlyArray<Record<string, any>>} positions
   * @param {string} currency
   */
  #reconcile(positions, currency) {
    const held = new Set(positions.map(({ symbol }) => symbol));
    for (const [symbol, row] of this.#rows) {
      if (held.has(symbol)) continue;
      row.remove();
      this.#rows.delete(symbol);
    }
    const heaviest = Math.max(...positions.map(({ weight_percent: weight }) => weight ?? 0));
    for (const position of positions) {
      let row = this.#rows.get(position.symbol);
      if (!row) this.#rows.set(position.symbol, (row = new PositionRow(position, this.handlers)));
      row.paint(position, currency, heaviest);
    }
  }

  #sortBy(/** @type {string} */ key) {
    this.#descending = key === this.#key ? !this.#descending : !ASCENDING_FIRST.has(key);
    this.#key = key;
    for (const header of this.root.querySelectorAll("th[data-sort]")) {
      const isKey = header.getAttribute("data-sort") === key;
      setAttribute(header, "aria-sort", isKey ? (this.#descending ? "descending" : "ascending") : null);
    }
    this.#order();
  }

  /** Moves only rows that stand wrong, so that a tick does not disturb a pointer or a selection. */
  #order() {
    const sign = this.#descending ? -1 : 1;
    const sorted = [...this.#rows.values()].sort((a, b) => sign * compare(a.position[this.#key], b.position[this.#key]));
    const elements = sorted.flatMap((row) => row.elements);
    elements.forEach((element, i) => {
      if (this.body.children[i] !== element) this.body.insertBefore(element, this.body.children[i] ?? null);
    });
  }

  #paintSums(/** @type {Portfolio} */ portfolio) {
    const { currency, invested, positions, cash, cash_positions: moneys = [] } = portfolio;
    const sum = part(this.root, "sum-value").closest("tfoot");
    sum.hidden = positions.length === 0;
    // What the header says, less the cash: the same figures, and not a cent of rounding beside them.
    const ofCash = moneys.map((/** @type {any} */ one) => -(one.daily_change ?? 0));
    const value = addUp([portfolio.total_value, -(cash ?? 0)], currency);
    const today = portfolio.daily_change == null ? null : addUp([portfolio.daily_change, ...ofCash], currency);
    setText(part(this.root, "sum-value"), money(value, currency));
    setAttribute(part(this.root, "sum-value"), "title", invested == null ? null : `Invested: ${money(invested, currency)}`);
    for (const [name, amount] of /** @type {Array<[string, number|null]>} */ ([["sum-today", today], ["sum-unrealized", portfolio.unrealized]])) {
      const cell = part(this.root, name);
      setText(cell, money(amount, currency, { sign: true }));
      setDirection(cell, amount);
    }
  }
}

class PositionRow {
  /** @type {Record<string, any>} */ position = {};
  /** @type {Panel|null} */ #lots = null;

  /**
   * @param {Record<string, any>} position
   * @param {{onSelect?: (symbol: string) => void, openLots?: (symbol: string) => Panel}} handlers
   */
  constructor({ symbol, name }, { onSelect, openLots }) {
    this.symbol = symbol;
    this.openLots = openLots;
    const title = onSelect
      ? el("button", { class: "symbol-link", type: "button", text: symbol, onclick: () => onSelect(symbol) })
      : openLots
        ? (this.opener = el("button", { class: "symbol-link opener", type: "button", text: symbol, title: "Lots", "aria-expanded": "false", onclick: () => this.#toggle() }))
        : el("strong", { text: symbol });
    this.name = el("small", { text: name });
    this.badge = el("span", { class: "badge", hidden: true });
    const cell = (/** @type {string} */ field, /** @type {string} */ column = "") => el("td", { "data-f": field, class: column });
    this.value = figure("value", "Value");
    this.cells = {
      quantity: cell("quantity", "col-quantity"),
      cost: cell("average_cost", "col-cost"),
      price: cell("price", "col-last"),
      value: cell("value"),
      today: twoLines("daily_change", "Today"),
      unrealized: twoLines("unrealized", "Unrealized"),
      weight: el("td", { "data-f": "weight", class: "col-weight" }),
    };
    this.cells.value.append(this.value);
    this.share = el("i", { "aria-hidden": "true" });
    this.weight = el("span");
    this.cells.weight.append(el("span", { class: "weight" }, this.share, this.weight));
    this.element = el(
      "tr",
      { "data-symbol": symbol },
      el("td", {}, el("div", { class: "symbol-cell" }, title, this.name, this.badge)),
      ...Object.values(this.cells),
    );
  }

  /** @returns {HTMLElement[]} the row, and what it is open to */
  get elements() {
    return this.#lots ? [this.element, this.#lots.element] : [this.element];
  }

  remove() {
    if (this.#lots) this.#toggle();
    this.element.remove();
  }

  #toggle() {
    if (this.#lots) {
      this.#lots.element.remove();
      this.#lots.close();
      this.#lots = null;
    } else if (this.openLots) {
      this.#lots = this.openLots(this.symbol);
      this.element.after(this.#lots.element);
    }
    this.opener.setAttribute("aria-expanded", String(this.#lots !== null));
  }

  /**
   * @param {Record<string, any>} position
   * @param {string} currency  the portfolio's
   * @param {number} heaviest  the largest weight, whose bar is full
   */
  paint(position, currency, heaviest) {
    this.position = position;
    const own = position.currency ?? currency;
    const digits = position.price == null ? undefined : priceDigits(position.price);
    setText(this.cells.quantity, quantity(position.quantity));
    setText(this.cells.cost, price(position.average_cost, position.average_cost == null ? undefined : Math.max(2, digits ?? 2)));
    setText(this.cells.price, position.price == null ? "no price" : price(position.price, digits));
    setAttribute(this.cells.price, "title", `${own} · as of ${moment(position.as_of)} · ${position.source ?? "no source"}`);
    setText(this.value, money(position.value, currency));
    paintPair(this.cells.today, position.daily_change, position.daily_change_percent, currency);
    paintPair(this.cells.unrealized, position.unrealized, position.unrealized_percent, currency);
    setText(this.weight, position.weight_percent == null ? "—" : `${price(position.weight_percent, 1)}%`);
    this.share.style.setProperty("--share", String(heaviest > 0 ? Math.max(0, (position.weight_percent ?? 0) / heaviest) : 0));
    const remark = remarkOf(position);
    setText(this.badge, remark);
    this.badge.hidden = remark === "";
    setAttribute(this.element, "data-stale", position.stale || position.value == null ? "" : null);
    setAttribute(this.element, "data-closed", position.quantity ? null : "");
  }
}

/** What is to be known of a position beside its numbers. */
export function remarkOf(/** @type {Record<string, any>} */ { quantity: held, price: last, value, reason, stale, daily_change: change }) {
  if (!held) return "closed today";
  if (reason) return reasonWords(reason);
  if (last == null || value == null) return reasonWords("no_price");
  if (stale) return "stale";
  return change == null ? "no previous close" : "";
}

/**
 * A number that explains itself at a click.
 * @param {string} name
 * @param {string} label
 * @param {...Node} children
 */
function figure(name, label, ...children) {
  return el("button", { class: "figure", type: "button", "data-figure": name, "aria-haspopup": "dialog", title: `${label}: explain` }, ...children);
}

/**
 * @param {string} field
 * @param {string} label
 */
function twoLines(field, label) {
  const lines = el("span", { class: "two-lines" }, el("span"), el("small"));
  return el("td", { "data-f": field }, figure(field, label, lines));
}

/**
 * @param {HTMLElement} cell
 * @param {number|null} amount
 * @param {number|null} share
 * @param {string} currency
 */
function paintPair(cell, amount, share, currency) {
  const [first, second] = /** @type {any} */ (cell.querySelector(".two-lines")).children;
  setText(first, money(amount, currency, { sign: true }));
  setText(second, share == null ? "" : `${arrow(amount)} ${percent(share)}`);
  setDirection(cell, amount);
}

/**
 * Texts by letters, numbers by size, what is missing last.
 * @param {any} a
 * @param {any} b
 */
function compare(a, b) {
  if (a == null || b == null) return (a == null ? 0 : 1) - (b == null ? 0 : 1);
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}
