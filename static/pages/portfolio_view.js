/** A portfolio's figures and its positions, as the server computed them: this page adds nothing up. */

import { el, part, setAttribute, setDirection, setText } from "./dom.js";
import { arrow, moment, money, percent, price, priceDigits, quantity } from "./format.js";

/** @typedef {import("../realtime/store.js").Portfolio} Portfolio */

export class PortfolioHeader {
  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
  }

  paint(/** @type {Portfolio} */ portfolio) {
    const { currency } = portfolio;
    setText(part(this.root, "total"), money(portfolio.total_value, currency));
    this.#paintToday(portfolio);
    this.#fact("unrealized", money(portfolio.unrealized, currency, { sign: true }), portfolio.unrealized);
    this.#fact("realized", money(portfolio.realized, currency, { sign: true }), portfolio.realized);
    this.#fact("cash", money(portfolio.cash, currency));
    this.#fact("invested", money(portfolio.invested, currency));
    this.#paintCoverage(portfolio);
    this.#paintTime(portfolio);
  }

  #paintToday(/** @type {Portfolio} */ { daily_change: change, daily_change_percent: share, currency }) {
    const today = part(this.root, "today");
    const rate = share == null ? "" : ` (${percent(share)})`;
    setText(today, change == null ? "" : `${arrow(change)} ${money(change, currency, { sign: true })}${rate} today`);
    setDirection(today, change);
  }

  #paintCoverage(/** @type {Portfolio} */ { positions, unpriced = [] }) {
    const element = part(this.root, "coverage");
    setText(element, `${positions.length - unpriced.length} of ${positions.length}`);
    const why = unpriced.map((/** @type {any} */ { symbol, reason }) => `${symbol}: ${reason}`).join("\n");
    setAttribute(element, "title", why || "Every position has a price");
  }

  #paintTime(/** @type {Portfolio} */ { positions, oldest_price_at: oldest }) {
    const newest = positions.reduce((/** @type {string} */ last, { as_of }) => (as_of > last ? as_of : last), "");
    const element = part(this.root, "as-of");
    setText(element, moment(newest));
    setAttribute(element, "title", oldest ? `Oldest price: ${moment(oldest)}` : "");
  }

  /**
   * @param {string} name
   * @param {string} text
   * @param {number|null} [direction]
   */
  #fact(name, text, direction) {
    const element = part(this.root, name);
    setText(element, text);
    setDirection(element, direction);
  }
}

/** Columns whose natural first order is A to Z; all others begin with the largest. */
const ASCENDING_FIRST = new Set(["symbol"]);

export class PositionsTable {
  /** @type {Map<string, PositionRow>} */ #rows = new Map();
  #key = "value";
  #descending = true;
  #id = 0;

  /**
   * @param {HTMLElement} root
   * @param {{onSelect?: (symbol: string, name: string) => void, emptyText?: string}} [options]
   */
  constructor(root, { onSelect, emptyText = "Nothing is held yet." } = {}) {
    this.root = root;
    this.onSelect = onSelect;
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
      row.element.remove();
      this.#rows.delete(symbol);
    }
    const heaviest = Math.max(...positions.map(({ weight_percent: weight }) => weight ?? 0));
    for (const position of positions) {
      let row = this.#rows.get(position.symbol);
      if (!row) this.#rows.set(position.symbol, (row = new PositionRow(position, this.onSelect)));
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
    sorted.forEach((row, i) => {
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
    });
  }

  #paintSums(/** @type {Portfolio} */ portfolio) {
    const { currency, invested, positions } = portfolio;
    const sum = part(this.root, "sum-value").closest("tfoot");
    sum.hidden = positions.length === 0;
    const value = positions.reduce((total, position) => total + (position.value ?? 0), 0);
    setText(part(this.root, "sum-value"), money(value, currency));
    setAttribute(part(this.root, "sum-value"), "title", invested == null ? null : `Invested: ${money(invested, currency)}`);
    for (const [name, amount] of [["sum-today", portfolio.daily_change], ["sum-unrealized", portfolio.unrealized]]) {
      const cell = part(this.root, name);
      setText(cell, money(amount, currency, { sign: true }));
      setDirection(cell, amount);
    }
  }
}

class PositionRow {
  /** @type {Record<string, any>} */ position = {};

  /**
   * @param {Record<string, any>} position
   * @param {((symbol: string, name: string) => void)|undefined} onSelect
   */
  constructor({ symbol, name }, onSelect) {
    const title = onSelect
      ? el("button", { class: "symbol-link", type: "button", text: symbol, onclick: () => onSelect(symbol, name) })
      : el("strong", { text: symbol });
    this.name = el("small", { text: name });
    this.badge = el("span", { class: "badge", hidden: true });
    const cell = (/** @type {string} */ field, /** @type {string} */ column = "") => el("td", { "data-f": field, class: column });
    this.cells = {
      quantity: cell("quantity", "col-quantity"),
      cost: cell("average_cost", "col-cost"),
      price: cell("price", "col-last"),
      value: cell("value"),
      today: twoLines("daily_change"),
      unrealized: twoLines("unrealized"),
      weight: el("td", { "data-f": "weight", class: "col-weight" }),
    };
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
    setText(this.cells.value, money(position.value, currency));
    paintPair(this.cells.today, position.daily_change, position.daily_change_percent, currency);
    paintPair(this.cells.unrealized, position.unrealized, position.unrealized_percent, currency);
    setText(this.weight, position.weight_percent == null ? "—" : `${price(position.weight_percent, 1)}%`);
    this.share.style.setProperty("--share", String(heaviest > 0 ? Math.max(0, (position.weight_percent ?? 0) / heaviest) : 0));
    const trouble = position.price == null ? "no price" : position.stale ? "stale" : "";
    setText(this.badge, trouble);
    this.badge.hidden = trouble === "";
    setAttribute(this.element, "data-stale", trouble === "" ? null : "");
  }
}

function twoLines(/** @type {string} */ field) {
  return el("td", { "data-f": field }, el("span", { class: "two-lines" }, el("span"), el("small")));
}

/**
 * @param {HTMLElement} cell
 * @param {number|null} amount
 * @param {number|null} share
 * @param {string} currency
 */
function paintPair(cell, amount, share, currency) {
  const [first, second] = /** @type {any} */ (cell.firstElementChild).children;
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
