/**
 * One dialog for every figure's explanation. It stands still while the page moves on: its parts, their sum and the
 * receipt are of the frame that was clicked.
 */

import { ApiError, api } from "./api.js";
import { el, part, setDirection, setText } from "./dom.js";
import { explainCash, explainPortfolio, explainPosition } from "./explain.js";
import { dayTime, moment, money, price } from "./format.js";

/** @typedef {import("../realtime/store.js").Portfolio} Portfolio */

// A receipt is stored a moment after its frame.
const TRIES = 6;
const PAUSE = 700; // milliseconds

export class ExplainDialog {
  /** @type {Portfolio|null} */ #portfolio = null;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {() => Portfolio|undefined} current
   */
  constructor(dialog, current) {
    this.dialog = dialog;
    this.current = current;
    this.receipt = /** @type {HTMLDetailsElement} */ (part(dialog, "receipt"));
    part(dialog, "close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    this.receipt.addEventListener("toggle", () => this.receipt.open && void this.#loadReceipt());
  }

  /** Every figure inside is a button that names itself; the row around it names its position. */
  listen(/** @type {HTMLElement} */ root) {
    root.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-figure]") : null;
      if (!(button instanceof HTMLElement)) return;
      const row = button.closest("tr");
      this.#explain(button.dataset.figure ?? "", row?.dataset ?? {});
    });
  }

  /**
   * @param {string} figure
   * @param {DOMStringMap} row
   */
  #explain(figure, { symbol, cash }) {
    const portfolio = this.current();
    if (!portfolio) return;
    const explanation =
      symbol !== undefined
        ? explainPosition(portfolio, symbol, figure)
        : cash !== undefined
          ? explainCash(portfolio, Number(cash))
          : explainPortfolio(portfolio, figure);
    if (!explanation) return;
    this.#portfolio = portfolio;
    this.#show(explanation);
  }

  #show(/** @type {import("./explain.js").Explanation} */ explanation) {
    const { dialog } = this;
    const { title, text, amount, currency, lead = "", parts, signed = false, facts, notes } = explanation;
    setText(part(dialog, "title"), title);
    setText(part(dialog, "amount"), text);
    setDirection(part(dialog, "amount"), signed ? amount : null);
    setText(part(dialog, "lead"), lead);
    part(dialog, "lead").hidden = lead === "";
    part(dialog, "parts").replaceChildren(...parts.map((one) => partRow(one, currency, signed)));
    setText(part(dialog, "sum"), text);
    part(dialog, "table").hidden = parts.length === 0;
    part(dialog, "facts").replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
    part(dialog, "notes").replaceChildren(...notes.map((note) => el("li", { text: note })));
    const { receipt, valued_at: at } = /** @type {Portfolio} */ (this.#portfolio);
    setText(part(dialog, "moment"), at ? `Of ${dayTime(at)}. The page behind goes on.` : "");
    this.receipt.open = false;
    this.receipt.hidden = !receipt;
    part(this.receipt, "sources").replaceChildren();
    dialog.showModal();
  }

  async #loadReceipt() {
    const { portfolio_id: id, receipt } = /** @type {Portfolio} */ (this.#portfolio);
    const box = part(this.receipt, "sources");
    const path = `/api/portfolios/${id}/receipts/${encodeURIComponent(receipt)}/`;
    box.replaceChildren(el("p", { class: "soft", role: "status", text: "Loading…" }));
    try {
      const found = await fetched(path);
      if (this.#portfolio?.receipt === receipt) box.replaceChildren(...sources(found, path, id));
    } catch (error) {
      box.replaceChildren(el("p", { class: "error-text", role: "alert", text: `The receipt can't be loaded. ${/** @type {Error} */ (error).message}` }));
    }
  }
}

/**
 * @param {import("./explain.js").Part} part
 * @param {string} currency
 * @param {boolean} signed
 */
function partRow({ label, hint, amount }, currency, signed) {
  const cell = el("td", { text: money(amount, currency, { sign: signed }) });
  if (signed) setDirection(cell, amount);
  const name = el("th", { scope: "row" }, label, ...(hint ? [el("small", { text: hint })] : []));
  return el("tr", { "data-part": label }, name, cell);
}

async function fetched(/** @type {string} */ path) {
  for (let tries = 1; ; tries++) {
    try {
      return await api(path);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404 && tries < TRIES)) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/**
 * @param {any} receipt
 * @param {string} path
 * @param {number} id
 */
function sources(receipt, path, id) {
  const { prices = [], rates = [], id: name } = receipt;
  const head = el("p", {}, "Receipt ", el("a", { href: path, text: name }), ` · `, el("a", { href: `/api/portfolios/${id}/positions.csv?receipt=${name}`, text: "positions as CSV" }));
  return [
    head,
    table("Prices", ["Symbol", "Price", "Of", "Source"], prices.map((/** @type {any} */ one) => [one.symbol, price(one.price), moment(one.as_of), one.source])),
    ...(rates.length ? [table("Exchange rates", ["Currency", "Rate", "Of", "From"], rates.map(rateCells))] : []),
  ];
}

function rateCells(/** @type {any} */ { currency, rate, as_of: at, legs = [] }) {
  return [currency, price(rate, 6), moment(at), legs.join(", ")];
}

/**
 * @param {string} caption
 * @param {string[]} names
 * @param {string[][]} rows
 */
function table(caption, names, rows) {
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col", text: name })));
  const body = rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row", text: first }), ...rest.map((text) => el("td", { text }))));
  return el("table", { class: "mini" }, el("caption", { text: caption }), el("thead", {}, head), el("tbody", {}, ...body));
}
