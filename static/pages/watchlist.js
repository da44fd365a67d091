/** The table of watched symbols. Its rows are made once and then only their texts change. */

import { el, part, setAttribute, setDirection, setText } from "./dom.js";
import { flash } from "./flash.js";
import { arrow, compact, moment, percent, price, priceDigits, signed } from "./format.js";
import { Sparkline } from "./sparkline.js";

export const NO_DATA = "no data";

/**
 * @typedef {{id: number, symbol: string, name: string, currency: string}} Entry
 * @typedef {{onSelect: (symbol: string) => void, onRemove: (entry: Entry) => void}} Handlers
 */

export class Watchlist {
  /** @type {Map<string, Row>} */ rows = new Map();
  #selected = "";

  /**
   * @param {HTMLElement} root
   * @param {import("../realtime/store.js").Store} store
   * @param {Handlers} handlers
   */
  constructor(root, store, handlers) {
    this.root = root;
    this.store = store;
    this.handlers = handlers;
    this.body = part(root, "rows");
    this.body.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#moveFocus(event));
  }

  /** @returns {string[]} */
  get symbols() {
    return [...this.rows.keys()];
  }

  setEntries(/** @type {Entry[]} */ entries) {
    this.rows.clear();
    this.body.replaceChildren();
    this.body.removeAttribute("aria-busy");
    for (const entry of entries) this.#append(entry);
    this.#showEmptiness();
  }

  add(/** @type {Entry} */ entry) {
    if (!this.rows.has(entry.symbol)) this.#append(entry);
    this.#showEmptiness();
  }

  remove(/** @type {string} */ symbol) {
    this.rows.get(symbol)?.element.remove();
    this.rows.delete(symbol);
    this.#showEmptiness();
  }

  select(/** @type {string} */ symbol) {
    setAttribute(this.rows.get(this.#selected)?.element ?? null, "aria-current", null);
    this.#selected = symbol;
    setAttribute(this.rows.get(symbol)?.element ?? null, "aria-current", "true");
  }

  paint(/** @type {Iterable<string>} */ symbols) {
    for (const symbol of symbols) {
      const quote = this.store.quotes.get(symbol);
      const row = this.rows.get(symbol);
      if (row && quote) row.paint(quote);
      if (row) row.mark(this.store, quote);
    }
  }

  paintAll() {
    this.paint(this.symbols);
  }

  showError(/** @type {string} */ text) {
    const line = part(this.root, "error");
    setText(line, text);
    line.hidden = text === "";
  }

  #append(/** @type {Entry} */ entry) {
    const row = new Row(entry, this.handlers);
    this.rows.set(entry.symbol, row);
    this.body.append(row.element);
    if (entry.symbol === this.#selected) setAttribute(row.element, "aria-current", "true");
  }

  #showEmptiness() {
    const { size } = this.rows;
    part(this.root, "wrap").hidden = size === 0;
    part(this.root, "empty").hidden = size !== 0;
    setText(part(this.root, "count"), size ? String(size) : "");
  }

  #moveFocus(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !(event.target instanceof HTMLElement) || !event.target.matches(".symbol-link")) return;
    const links = [...this.body.querySelectorAll(".symbol-link")];
    links[links.indexOf(event.target) + step]?.focus();
    event.preventDefault();
  }
}

class Row {
  #digits = 2;
  /** @type {any} */ #seq = null;
  /** @type {number|null} */ #price = null;
  /** @type {Record<string, HTMLElement>} */ #cells = {};
  /** What REST says of the asset's sources; an asset without a running one says so. */
  /** @type {string[]} */ sources = [];
  problem = "";
  /** What the server says of the problem. */
  reason = "";
  isPending = false; // until its first price
  spark = new Sparkline();

  /**
   * @param {Entry} entry
   * @param {Handlers} handlers
   */
  constructor(entry, { onSelect, onRemove }) {
    this.entry = entry;
    const cell = (/** @type {string} */ name, /** @type {string} */ column = "") => {
      this.#cells[name] = el("td", { "data-f": name, class: column });
      return this.#cells[name];
    };
    const link = el("button", { class: "symbol-link", type: "button", text: entry.symbol });
    this.badge = el("span", { class: "badge", hidden: true });
    const title = el("div", { class: "symbol-cell" }, link, el("small", { text: entry.name, title: entry.name }), this.badge);
    const remove = el("button", {
      class: "icon-button remove",
      type: "button",
      "aria-label": `Remove ${entry.symbol}`,
      title: "Remove",
      text: "✕",
      onclick: (/** @type {Event} */ event) => {
        event.stopPropagation();
        onRemove(entry);
      },
    });
    this.last = el("span", { class: "last-cell", text: "—" });
    this.element = el(
      "tr",
      { "data-symbol": entry.symbol, onclick: () => onSelect(entry.symbol) },
      el("td", { "data-f": "symbol" }, title),
      el("td", { class: "col-spark" }),
      cell("last"),
      cell("change", "col-change"),
      cell("change_percent"),
      cell("volume", "col-volume"),
      cell("range", "col-range"),
      el("td", {}, remove),
    );
    this.element.children[1].append(this.spark.element);
    this.#cells.last.append(this.last);
    for (const name of ["change", "change_percent", "volume", "range"]) this.#cells[name].textContent = "—";
  }

  paint(/** @type {Record<string, any>} */ quote) {
    if (quote.seq !== this.#seq) this.#heard();
    this.#seq = quote.seq;
    this.#digits = Math.max(this.#price === null ? 0 : this.#digits, priceDigits(quote.price));
    setText(this.last, price(quote.price, this.#digits));
    if (this.#price !== null) flash(this.last, quote.price - this.#price);
    this.#price = quote.price;
    setText(this.#cells.change, signed(quote.change, this.#digits));
    this.#paintPercent(quote.change_percent);
    setDirection(this.#cells.change, quote.change);
    setText(this.#cells.volume, compact(quote.volume));
    this.#paintRange(quote);
    this.spark.setLive(quote.price);
    setAttribute(this.#cells.last, "title", `${quote.currency ?? ""} · as of ${moment(quote.as_of)} · ${quote.source ?? ""}`);
  }

  /** The first price ends the waiting, and what was said of it. */
  #heard() {
    this.isPending = false;
    if (this.problem === NO_DATA) this.problem = "";
  }

  /** Says why a row does not move, where there is a reason. */
  mark(/** @type {import("../realtime/store.js").Store} */ store, /** @type {Record<string, any>|undefined} */ quote) {
    const sources = quote?.source ? [quote.source] : this.sources;
    const runs = sources.some((source) => store.isRunning(source)) || this.sources.some((source) => store.isRunning(source));
    const isWaiting = this.isPending && !quote && runs;
    const text = this.problem || (isWaiting ? "waiting for first price" : runs ? (quote?.stale ? "stale" : "") : "no running source");
    const reason = this.problem ? this.reason : "";
    setText(this.badge, text);
    setAttribute(this.badge, "title", reason || null);
    this.badge.hidden = text === "";
    setAttribute(this.element, "data-stale", text === "" ? null : "");
    const when = quote ? `, last price of ${moment(quote.as_of)}` : "";
    setAttribute(this.element, "aria-description", text === "" ? null : (reason ? `${text}: ${reason}` : text) + when);
  }

  #paintPercent(/** @type {number|null} */ value) {
    const cell = this.#cells.change_percent;
    setText(cell, value == null ? "—" : `${arrow(value)} ${percent(value)}`);
    setDirection(cell, value);
  }

  /** @param {Record<string, any>} quote */
  #paintRange({ low, high, price: last, window }) {
    const cell = this.#cells.range;
    if (low == null || high == null) return setText(cell, "—");
    if (!this.range) {
      this.range = { low: el("span"), window: el("div", {}, "of 24 hours"), high: el("span"), mark: el("i") };
      const ends = el("div", { class: "day-range-ends" }, this.range.low, this.range.high);
      const bar = el("div", { class: "day-range-bar", "aria-hidden": "true" }, this.range.mark);
      cell.replaceChildren(el("div", { class: "day-range" }, bar, ends, this.range.window));
    }
    setText(this.range.low, price(low, this.#digits));
    setText(this.range.high, price(high, this.#digits));
    this.range.window.hidden = window !== "24h";
    const at = high > low ? Math.min(1, Math.max(0, (last - low) / (high - low))) : 0.5;
    this.range.mark.style.setProperty("--at", at.toFixed(3));
  }
}
