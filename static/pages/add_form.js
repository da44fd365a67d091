/**
 * The form that books a row of any type. Its fields are those of the type, from the table that the server put into
 * the page; defaults come from the asset and the clock; a refusal stands at the field that it is about.
 */

import { ApiError, api } from "./api.js";
import { el, part, setText } from "./dom.js";
import { FieldErrors } from "./field_errors.js";
import { AT_MARKET, CHOOSING, bodyOf, dayAndClock, fieldsOf, momentOf } from "./form_fields.js";
import { quantity } from "./format.js";
import { LotChoice } from "./lot_choice.js";
import { rowTitle } from "./words.js";

/** @typedef {import("./form_fields.js").Field} Field */

export class AddForm {
  /** @type {Map<string, {box: HTMLElement, input: any}>} */ #made = new Map();
  /** @type {Field[]} */ #fields = [];
  /** @type {any} */ #asset = null;
  #proposed = ""; // the price that we filled in, which a better one may replace
  #proposedCurrency = "";
  #isTimeChosen = false;

  /**
   * @param {HTMLFormElement} form
   * @param {{
   *   id: number,
   *   currency: string,
   *   table: Record<string, import("./form_fields.js").KindFields>,
   *   canChooseLots: boolean,
   *   held: (symbol: string) => Record<string, any>|undefined,
   *   onBooked: () => void,
   * }} options
   */
  constructor(form, options) {
    this.form = form;
    this.options = options;
    this.type = /** @type {HTMLSelectElement} */ (form.elements.namedItem("type"));
    this.day = /** @type {HTMLInputElement} */ (form.elements.namedItem("day"));
    this.clock = /** @type {HTMLInputElement} */ (form.elements.namedItem("clock"));
    this.errors = new FieldErrors(form, { time: this.day });
    this.lots = new LotChoice(options.id);
    this.type.append(...Object.entries(options.table).map(([kind, { label }]) => el("option", { value: kind, text: label })));
    this.type.addEventListener("change", () => this.#show());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    for (const input of [this.day, this.clock]) input.addEventListener("input", () => (this.#isTimeChosen = true));
    form.addEventListener("focusin", () => this.#isTimeChosen || this.#setNow());
    this.#show();
    this.#setNow();
  }

  // --- fields -----------------------------------------------------------------------------------------------------

  #show() {
    const kind = this.type.value;
    const { main, advanced } = fieldsOf(kind, this.options.table[kind]);
    this.#fields = [...main, ...advanced].filter(({ input }) => input !== "lots" || this.#mayChooseLots(kind));
    const boxes = (/** @type {Field[]} */ fields) => fields.filter((field) => this.#fields.includes(field)).map((field) => this.#box(field));
    part(this.form, "main").replaceChildren(...boxes(main));
    part(this.form, "advanced").replaceChildren(...boxes(advanced));
    this.errors.clear();
    this.#propose();
  }

  #mayChooseLots(/** @type {string} */ kind) {
    return this.options.canChooseLots && kind in CHOOSING;
  }

  /** A field is made once, and keeps what was typed while other types hide it. */
  #box(/** @type {Field} */ field) {
    let made = this.#made.get(field.name);
    if (!made) this.#made.set(field.name, (made = this.#make(field)));
    setText(made.box.querySelector("[data-label]"), field.label);
    if (made.input) made.input.required = field.required;
    return made.box;
  }

  #make(/** @type {Field} */ { name, input }) {
    if (input === "lots") return { box: this.lots.element, input: null };
    const id = `add-${name}`;
    const field = input === "right" ? rightSelect(id, name) : el("input", { class: "input", id, name, autocomplete: "off", ...INPUT_ATTRIBUTES[input] });
    if (name === "symbol") field.addEventListener("change", () => void this.#learnSymbol());
    if (name === "price") field.addEventListener("input", () => (this.#proposed = ""));
    const label = el("label", { for: id }, el("span", { "data-label": name }), el("span", { "data-unit": name }));
    const hint = el("small", { class: "soft hint", "data-hint": name, hidden: true });
    return { box: el("div", { class: "field", "data-field": name }, label, field, hint), input: field };
  }

  /** @returns {string} */
  #value(/** @type {string} */ name) {
    const isShown = this.#fields.some((field) => field.name === name);
    return isShown ? (this.#made.get(name)?.input?.value ?? "").trim() : "";
  }

  // --- defaults ---------------------------------------------------------------------------------------------------

  /** The server's clock counts unless somebody chose another time: theirs may be a little ahead of it. */
  #setNow() {
    [this.day.value, this.clock.value] = dayAndClock();
  }

  async #learnSymbol() {
    const symbol = this.#value("symbol").toUpperCase();
    this.#asset = null;
    if (symbol) {
      const found = await api(`/api/assets/${encodeURIComponent(symbol)}/`).catch((error) => ({ problem: error }));
      if (symbol !== this.#value("symbol").toUpperCase()) return;
      if (!found.problem) this.#asset = found;
      else if (found.problem instanceof ApiError && found.problem.status === 404) this.errors.show({ symbol: `No asset is called ${symbol}.` }, { quiet: true });
    }
    if (this.#asset) this.errors.clear();
    this.#propose();
  }

  #propose() {
    const kind = this.type.value;
    const asset = this.#value("symbol") ? this.#asset : null;
    const unit = asset?.currency ?? "";
    for (const name of ["price", "fee", "cost"]) this.#setUnit(name, asset ? unit : "");
    this.#proposeCurrency(unit || this.options.currency);
    const input = this.#made.get("price")?.input;
    if (input && AT_MARKET.has(kind) && asset?.price != null && (input.value === "" || input.value === this.#proposed)) {
      input.value = this.#proposed = String(asset.price);
    }
    this.#hintAtHolding(kind);
    const symbol = this.#mayChooseLots(kind) ? this.#value("symbol").toUpperCase() : "";
    const held = symbol ? this.options.held(symbol) : undefined;
    this.lots.offer(held && Math.sign(held.quantity) === CHOOSING[kind] ? held.symbol : "");
  }

  #setUnit(/** @type {string} */ name, /** @type {string} */ unit) {
    setText(this.form.querySelector(`[data-unit=${name}]`), unit && ` (${unit})`);
  }

  #proposeCurrency(/** @type {string} */ currency) {
    const input = this.#made.get("currency")?.input;
    if (input && (input.value === "" || input.value === this.#proposedCurrency)) input.value = this.#proposedCurrency = currency;
  }

  /** What can be sold, and a button that takes all of it. */
  #hintAtHolding(/** @type {string} */ kind) {
    const hint = /** @type {HTMLElement|null} */ (this.form.querySelector("[data-hint=quantity]"));
    if (!hint) return;
    const held = this.#value("symbol") ? this.options.held(this.#value("symbol").toUpperCase()) : undefined;
    const isLess = ["sell", "transfer_out", "expire", "cash_in_lieu"].includes(kind);
    hint.hidden = !isLess || !held?.quantity;
    if (hint.hidden || !held) return hint.replaceChildren();
    const all = el("button", { class: "link-button", type: "button", text: "All", onclick: () => void this.#takeAll(held.symbol) });
    hint.replaceChildren(`${quantity(held.quantity)} held · `, all);
  }

  /** The exact quantity: what a double leaves of it might leave dust behind. */
  async #takeAll(/** @type {string} */ symbol) {
    const answer = await api(`/api/portfolios/${this.options.id}/positions/?page_size=1000`, { exact: true }).catch(() => null);
    const held = answer?.results.find((/** @type {any} */ one) => one.symbol === symbol);
    const input = this.#made.get("quantity")?.input;
    if (input && held) input.value = held.quantity.replace("-", "");
  }

  // --- booking ----------------------------------------------------------------------------------------------------

  #body() {
    const values = Object.fromEntries(this.#fields.map(({ name, input }) => [name, input === "lots" ? this.lots.chosen() : this.#value(name)]));
    const time = this.#isTimeChosen ? momentOf(this.day.value, this.clock.value) : undefined;
    return bodyOf(this.type.value, this.#fields, values, time);
  }

  async #submit() {
    const button = part(this.form, "submit");
    button.disabled = true;
    this.errors.clear();
    setText(part(this.form, "done"), "");
    try {
      const row = await api(`/api/portfolios/${this.options.id}/transactions/`, { method: "POST", body: this.#body() });
      this.#begin();
      setText(part(this.form, "done"), `Added: ${rowTitle(row)}.`);
      this.options.onBooked();
    } catch (error) {
      this.errors.showRefusal(error, "Not added");
    } finally {
      button.disabled = false;
    }
  }

  /** Empty again, for the next row of the same type. */
  #begin() {
    const { value } = this.type;
    this.form.reset();
    this.type.value = value;
    this.#asset = null;
    this.#proposed = "";
    this.#isTimeChosen = false;
    this.#setNow();
    this.#show();
  }
}

const SHORT = { maxlength: 10, autocapitalize: "characters", spellcheck: "false" };
const INPUT_ATTRIBUTES = /** @type {Record<string, Record<string, any>>} */ ({
  symbol: { list: "symbols", maxlength: 64, autocapitalize: "characters", spellcheck: "false" },
  number: { inputmode: "decimal" },
  currency: SHORT,
  date: { type: "date" },
  text: { maxlength: 500 },
});

/**
 * @param {string} id
 * @param {string} name
 */
function rightSelect(id, name) {
  return el("select", { class: "input", id, name }, el("option", { value: "call", text: "Call" }), el("option", { value: "put", text: "Put" }));
}
