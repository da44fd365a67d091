/** The lots that a position consists of, in the order in which they were opened. */

import { api } from "./api.js";
import { el, setDirection } from "./dom.js";
import { day, money, price, quantity } from "./format.js";

const REFRESH = 15000; // milliseconds; the values in it move with the price

/** @returns {Promise<any[]>} */
export async function lotsOf(/** @type {number} */ portfolioId, /** @type {string} */ symbol, { exact = false } = {}) {
  const answer = await api(`/api/portfolios/${portfolioId}/lots/?page_size=1000&symbol=${encodeURIComponent(symbol)}`, { exact });
  return answer.results;
}

export class Lots {
  /** @type {any} */ #timer = setInterval(() => document.hidden || void this.load(), REFRESH);

  /**
   * @param {number} portfolioId
   * @param {Record<string, any>} position
   * @param {string} currency  the portfolio's
   */
  constructor(portfolioId, { symbol, currency: own }, currency) {
    this.portfolioId = portfolioId;
    this.symbol = symbol;
    this.own = own;
    this.currency = currency;
    this.box = el("div", { class: "lots", role: "region", tabindex: 0, "aria-label": `Lots of ${symbol}` }, el("p", { class: "soft", text: "Loading…" }));
    this.element = el("tr", { class: "lots-row", "data-lots": symbol }, el("td", { colspan: 8 }, this.box));
    void this.load();
  }

  close() {
    clearInterval(this.#timer);
  }

  async load() {
    try {
      const lots = await lotsOf(this.portfolioId, this.symbol);
      this.box.replaceChildren(lots.length ? this.#table(lots) : el("p", { class: "soft", text: "No open lots: everything was sold." }));
    } catch (error) {
      this.box.replaceChildren(el("p", { class: "error-text", text: `Lots can't be loaded. ${/** @type {Error} */ (error).message}` }));
    }
  }

  #table(/** @type {any[]} */ lots) {
    const isForeign = this.own !== this.currency;
    const names = ["Opened", "Quantity", ...(isForeign ? [`Cost, ${this.own}`, `Value, ${this.own}`, "Cost"] : ["Cost", "Value"]), "Unrealized", "Held"];
    const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col", text: name })));
    const body = lots.map((lot) => this.#row(lot, isForeign));
    return el("table", { class: "mini" }, el("caption", { class: "sr-only", text: `Lots of ${this.symbol}` }), el("thead", {}, head), el("tbody", {}, ...body));
  }

  /**
   * @param {any} lot
   * @param {boolean} isForeign
   */
  #row(lot, isForeign) {
    const gain = el("td", { text: money(lot.unrealized_base, this.currency, { sign: true }) });
    setDirection(gain, lot.unrealized_base);
    return el(
      "tr",
      { "data-row": lot.row },
      el("th", { scope: "row", title: `Row ${lot.row}` }, day(lot.opened)),
      el("td", { text: quantity(lot.quantity), title: unitCost(lot, this.own) }),
      el("td", { text: money(lot.cost, this.own) }),
      el("td", { text: money(lot.value, this.own) }),
      ...(isForeign ? [el("td", { text: money(lot.cost_base, this.currency) })] : []),
      gain,
      el("td", { text: lot.days === 1 ? "1 day" : `${quantity(lot.days)} days` }),
    );
  }
}

/**
 * @param {any} lot
 * @param {string} currency
 */
function unitCost({ cost, quantity: units }, currency) {
  return units ? `${price(cost / units)} ${currency} each` : null;
}
