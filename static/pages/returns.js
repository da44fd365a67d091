/** What a portfolio earned over its periods, weighted by time and by money. */

import { api } from "./api.js";
import { el, part, setDirection, setText } from "./dom.js";
import { addUp, arrow, date, money, percent } from "./format.js";
import { PERIODS } from "./words.js";

export class Returns {
  /**
   * @param {HTMLElement} root
   * @param {{id: number, currency: string}} portfolio
   */
  constructor(root, { id, currency }) {
    this.root = root;
    this.id = id;
    this.currency = currency;
  }

  async load() {
    try {
      const { periods } = await api(`/api/portfolios/${this.id}/returns/`);
      part(this.root, "rows").replaceChildren(...periods.map((/** @type {any} */ one) => this.#row(one)));
      this.#say(periods.length ? "" : "Nothing to measure yet.");
    } catch (error) {
      this.#say(`Returns can't be loaded. ${/** @type {Error} */ (error).message}`);
    }
  }

  #row(/** @type {any} */ { period, start, twr_percent: byTime, mwr_percent: byMoney, mwr_is_yearly: yearly, inflow, outflow, incomplete }) {
    const name = el("div", { class: "symbol-cell" }, el("strong", { text: PERIODS[period] ?? period }), el("small", { text: `from ${date(start)}` }));
    if (incomplete) name.append(el("span", { class: "badge", text: "incomplete", title: "Days without all prices lie in it" }));
    const net = addUp([inflow, -outflow], this.currency);
    return el(
      "tr",
      { "data-period": period },
      el("th", { scope: "row" }, name),
      rate(byTime),
      rate(byMoney, byMoney !== null && yearly ? "a year" : ""),
      el("td", { class: "col-flow", text: money(net, this.currency, { sign: true }) }),
    );
  }

  #say(/** @type {string} */ text) {
    const message = part(this.root, "message");
    setText(message, text);
    message.hidden = text === "";
    part(this.root, "wrap").hidden = text !== "";
  }
}

/**
 * @param {number|null} value
 * @param {string} [unit]
 */
function rate(value, unit = "") {
  const cell = el("td", {}, value === null ? "—" : `${arrow(value)} ${percent(value)}`, ...(unit ? [el("small", { class: "soft", text: ` ${unit}` })] : []));
  setDirection(cell, value);
  return cell;
}
