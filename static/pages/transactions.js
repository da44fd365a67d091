/** The ledger's rows, newest first. A row is never edited: what was wrong is reversed, and both rows stay on record. */

import { ApiError, api } from "./api.js";
import { el, memory, part, setAttribute, setText } from "./dom.js";
import { labelOf } from "./form_fields.js";
import { date, day, dayTime, money, price, quantity } from "./format.js";
import { kindWords, rowTitle } from "./words.js";

const PAGE_SIZE = 20;
const COLUMNS = 7;
/** What the details show first or under another name, and what is no one's business. */
const UNSHOWN = new Set(["id", "type", "symbol", "time", "date_only", "created_at", "reversed_by", "reverses"]);
const NAMES = /** @type {Record<string, string>} */ ({ base_value: "Value in the portfolio's currency", created_at: "Entered" });

export class Transactions {
  #page = 1;
  #showsReversed = memory.get("reversed") === "1";
  /** @type {AbortController|null} */ #request = null;

  /**
   * @param {HTMLElement} root
   * @param {{id: number, currency: string, confirmReversal: (row: any, act: () => Promise<void>) => void}} options
   */
  constructor(root, { id, currency, confirmReversal }) {
    this.root = root;
    this.path = `/api/portfolios/${id}/transactions/`;
    this.currency = currency;
    this.confirmReversal = confirmReversal;
    const toggle = /** @type {HTMLInputElement} */ (part(root, "reversed"));
    toggle.checked = this.#showsReversed;
    toggle.addEventListener("change", () => {
      this.#showsReversed = toggle.checked;
      memory.set("reversed", toggle.checked ? "1" : "0");
      this.first();
    });
    part(root, "newer").addEventListener("click", () => this.#turn(-1));
    part(root, "older").addEventListener("click", () => this.#turn(1));
  }

  /** The newest rows. */
  first() {
    this.#page = 1;
    void this.load();
  }

  async load() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const filter = this.#showsReversed ? "" : "&reversed=0";
    try {
      const answer = await api(`${this.path}?page=${this.#page}&page_size=${PAGE_SIZE}${filter}`, { signal: request.signal });
      this.#show(answer);
      this.#complain("");
    } catch (error) {
      if (request.signal.aborted) return;
      if (error instanceof ApiError && error.status === 404 && this.#page > 1) return this.#turn(-1);
      this.#complain(`Transactions can't be loaded. ${/** @type {Error} */ (error).message}`);
    }
  }

  #turn(/** @type {number} */ step) {
    this.#page = Math.max(1, this.#page + step);
    void this.load();
  }

  #show(/** @type {{count: number, results: any[]}} */ { count, results }) {
    const { root } = this;
    const open = new Set([...root.querySelectorAll("tr.details-row")].map((row) => Number(row.getAttribute("data-of"))));
    part(root, "rows").replaceChildren(...results.map((row) => this.#row(row)));
    for (const row of results) if (open.has(row.id)) this.#toggle(row);
    setText(part(root, "count"), count ? String(count) : "");
    part(root, "empty").hidden = count > 0;
    part(root, "wrap").hidden = count === 0;
    const pages = Math.max(1, Math.ceil(count / PAGE_SIZE));
    part(root, "pager").hidden = pages === 1;
    setText(part(root, "page"), `Page ${this.#page} of ${pages}`);
    part(root, "newer").disabled = this.#page === 1;
    part(root, "older").disabled = this.#page >= pages;
  }

  #row(/** @type {any} */ row) {
    const title = rowTitle(row);
    const opener = el("button", { class: "symbol-link opener", type: "button", text: title, title: "Details", "aria-expanded": "false", onclick: () => this.#toggle(row) });
    const state = row.reversed_by ? el("span", { class: "badge", text: "reversed" }) : "";
    const when = timeOf(row);
    const name = el("div", { class: "symbol-cell" }, opener, el("small", { class: "phone-only", text: when }), state);
    const action = isOpen(row)
      ? el("button", { class: "button button-small button-quiet reverse", type: "button", text: "Reverse", "aria-label": `Reverse: ${title}`, onclick: () => this.#ask(row) })
      : "";
    return el(
      "tr",
      { "data-id": row.id, "data-type": row.type, "data-reversed": isOpen(row) ? null : true },
      el("td", {}, name),
      el("td", { class: "left col-time" }, el("time", { datetime: row.time, text: when, title: row.time })),
      el("td", { class: "col-quantity", text: sizeOf(row) }),
      el("td", { class: "col-price", text: row.price == null ? "" : price(row.price), title: row.currency }),
      el("td", { class: "col-fee", text: row.fee ? money(row.fee, row.fee_currency || row.currency) : "" }),
      el("td", {}, ...this.#amount(row)),
      el("td", {}, action),
    );
  }

  /** What it is worth in its own currency, and under it in the portfolio's. */
  #amount(/** @type {any} */ { amount, currency, base_value: value }) {
    const base = value == null ? "" : money(value, this.currency);
    if (amount == null || currency === this.currency) return [base || (amount == null ? "" : money(amount, currency))];
    return [el("span", { class: "two-lines" }, el("span", { text: money(amount, currency) }), el("small", { class: "soft", text: base }))];
  }

  // --- details ----------------------------------------------------------------------------------------------------

  #toggle(/** @type {any} */ row) {
    const line = this.root.querySelector(`tr[data-id="${row.id}"]`);
    const shown = this.root.querySelector(`tr.details-row[data-of="${row.id}"]`);
    setAttribute(line?.querySelector(".opener") ?? null, "aria-expanded", String(!shown));
    if (shown) return shown.remove();
    const list = el("dl", { class: "pairs" }, el("div", {}, el("dt", { text: "Row" }), el("dd", { text: String(row.id) })));
    line?.after(el("tr", { class: "details-row", "data-of": row.id }, el("td", { colspan: COLUMNS }, list)));
    void this.#fill(list, row);
  }

  /** Asked for anew, because here every digit is shown. */
  async #fill(/** @type {HTMLElement} */ list, /** @type {any} */ { id, type }) {
    const row = await api(`${this.path}${id}/`, { exact: true }).catch(() => null);
    if (!row) return;
    const pairs = [["Row", String(row.id)], ["Time", timeOf(row)], ["Entered", dayTime(row.created_at)], ...columnPairs(row, type)];
    if (row.reversed_by) pairs.push(["Reversed by", `row ${row.reversed_by}`]);
    list.replaceChildren(...pairs.map(([name, text]) => el("div", {}, el("dt", { text: name }), el("dd", { text }))));
  }

  // --- reversals --------------------------------------------------------------------------------------------------

  #ask(/** @type {any} */ row) {
    this.confirmReversal(row, async () => {
      await api(`${this.path}${row.id}/`, { method: "DELETE" });
      await this.load();
    });
  }

  #complain(/** @type {string} */ text) {
    const line = part(this.root, "error");
    setText(line, text);
    line.hidden = text === "";
  }
}

function isOpen(/** @type {any} */ { type, reversed_by: reversal }) {
  return type !== "reversal" && !reversal;
}

export function timeOf(/** @type {any} */ { time, date_only: isDate }) {
  return isDate ? day(time) : dayTime(time);
}

/** How many, or in which ratio, or into what. */
function sizeOf(/** @type {any} */ row) {
  if (row.type === "convert") return `→ ${money(row.to_amount, row.to_currency)}`;
  if (row.numerator && !row.quantity) return `${quantity(row.numerator)} : ${quantity(row.denominator)}`;
  return row.quantity == null || row.amount != null ? "" : quantity(row.quantity);
}

/**
 * Every column that is filled in.
 * @param {Record<string, any>} row  its numbers as the server wrote them
 * @param {string} kind
 * @returns {string[][]}
 */
export function columnPairs(row, kind) {
  return Object.entries(row)
    .filter(([name, value]) => !UNSHOWN.has(name) && value !== null && value !== "" && value !== false && !(Array.isArray(value) && !value.length))
    .filter(([name, value]) => !(name === "fee" && Number(value) === 0) && !(name === "quantity" && row.quantity === row.amount))
    .map(([name, value]) => [NAMES[name] ?? labelOf(name, kind) ?? kindWords(name), columnText(name, value)]);
}

/**
 * @param {string} name
 * @param {any} value
 */
function columnText(name, value) {
  if (Array.isArray(value)) return value.map((lot) => `${lot.quantity} of row ${lot.row}`).join(", ");
  return ["pay_time", "opened"].includes(name) ? date(value) : String(value);
}
