/** Income and realized gains by year, as a tax return asks for them; a year opens to what it is made of. */

import { api } from "./api.js";
import { el, part, setDirection, setText } from "./dom.js";
import { date, money, quantity } from "./format.js";
import { kindWords } from "./words.js";

/**
 * @typedef {[string, (row: any) => string|[string, number|null]]} Column  a name, and the text; with a number, its
 *   direction
 */

class YearReport {
  /** @type {Set<number>} */ #open = new Set();
  /** @type {AbortController|null} */ #request = null;

  /**
   * @param {HTMLElement} root
   * @param {string} path
   * @param {Column[]} ofYear
   * @param {Column[]} ofRow
   */
  constructor(root, path, ofYear, ofRow) {
    this.root = root;
    this.path = path;
    this.ofYear = ofYear;
    this.ofRow = ofRow;
  }

  async load() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    try {
      const report = await api(this.path, { signal: request.signal });
      this.#show(report);
    } catch (error) {
      if (!request.signal.aborted) this.#say(`The report can't be loaded. ${/** @type {Error} */ (error).message}`);
    }
  }

  #show(/** @type {{years: any[], rows: any[]}} */ { years, rows }) {
    part(this.root, "rows").replaceChildren(...years.flatMap((year) => this.#year(year, rows.filter((row) => row.year === year.year))));
    this.#say(years.length ? "" : (this.root.dataset.empty ?? ""));
  }

  /**
   * @param {any} year
   * @param {any[]} rows
   */
  #year(year, rows) {
    const isOpen = this.#open.has(year.year);
    const opener = el("button", { class: "symbol-link opener", type: "button", text: String(year.year), "aria-expanded": String(isOpen) });
    const details = el("tr", { class: "details-row", hidden: !isOpen }, el("td", { colspan: this.ofYear.length + 1 }, this.#details(year.year, rows)));
    opener.addEventListener("click", () => {
      details.hidden = !details.hidden;
      opener.setAttribute("aria-expanded", String(!details.hidden));
      if (details.hidden) this.#open.delete(year.year);
      else this.#open.add(year.year);
    });
    return [el("tr", { "data-year": year.year }, el("th", { scope: "row" }, opener), ...this.ofYear.map((column) => cellOf(column, year))), details];
  }

  /**
   * @param {number} year
   * @param {any[]} rows
   */
  #details(year, rows) {
    const [first, ...others] = this.ofRow;
    const head = el("tr", {}, ...this.ofRow.map(([name]) => el("th", { scope: "col", text: name })));
    const body = rows.map((row) => el("tr", {}, el("th", { scope: "row", text: String(first[1](row)) }), ...others.map((column) => cellOf(column, row))));
    const table = el("table", { class: "mini" }, el("caption", { class: "sr-only", text: `The rows of ${year}` }), el("thead", {}, head), el("tbody", {}, ...body));
    return el("div", { class: "lots", tabindex: 0, role: "region", "aria-label": `The rows of ${year}` }, table);
  }

  #say(/** @type {string} */ text) {
    setText(part(this.root, "message"), text);
    part(this.root, "message").hidden = text === "";
    part(this.root, "wrap").hidden = text !== "";
  }
}

/**
 * @param {Column} column
 * @param {any} row
 */
function cellOf([name, read], row) {
  const found = read(row);
  if (typeof found === "string") return el("td", { text: found, "data-column": name });
  const cell = el("td", { text: found[0], "data-column": name });
  setDirection(cell, found[1]);
  return cell;
}

/**
 * @param {HTMLElement} root
 * @param {{id: number, currency: string}} portfolio
 */
export function incomeReport(root, { id, currency }) {
  const base = (/** @type {string} */ field) => (/** @type {any} */ row) => money(row[field], currency);
  /** @type {Column[]} */
  const ofYear = [["Gross", base("gross")], ["Withheld", base("withheld")], ["Fees", base("fees")], ["Net", base("net")]];
  /** @type {Column[]} */
  const ofRow = [
    ["From", ({ symbol, type }) => (symbol ? `${symbol}${type === "interest" ? ", interest" : ""}` : kindWords(type))],
    ["Payments", ({ payments }) => quantity(payments)],
    ["In its currency", (row) => money(row.gross, row.currency)],
    ["Withheld", base("withheld_base")],
    ["Net", base("net_base")],
  ];
  return new YearReport(root, `/api/portfolios/${id}/reports/dividends/`, ofYear, ofRow);
}

/**
 * @param {HTMLElement} root
 * @param {{id: number, currency: string}} portfolio
 */
export function gainReport(root, { id, currency }) {
  const base = (/** @type {string} */ field) => (/** @type {any} */ row) => money(row[field], currency);
  const gain = (/** @type {string} */ field) => (/** @type {any} */ row) => /** @type {[string, number]} */ ([money(row[field], currency, { sign: true }), row[field]]);
  /** @type {Column[]} */
  const ofYear = [["Proceeds", base("proceeds")], ["Cost", base("cost")], ["Gains", gain("gains")], ["Losses", gain("losses")], ["Realized", gain("realized")]];
  /** @type {Column[]} */
  const ofRow = [
    ["Of", ({ symbol }) => symbol],
    ["Closed", ({ closed }) => date(closed)],
    ["Opened", ({ opened }) => date(opened)],
    ["Quantity", (row) => quantity(row.quantity)],
    ["Proceeds", base("proceeds_base")],
    ["Cost", base("cost_base")],
    ["Gain", gain("gain_base")],
  ];
  return new YearReport(root, `/api/portfolios/${id}/reports/gains/`, ofYear, ofRow);
}
