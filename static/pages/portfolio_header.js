/** A portfolio's figures, as the server computed them: this page adds nothing up. */

import { part, setAttribute, setDirection, setText } from "./dom.js";
import { coverageText, newestPrice } from "./explain.js";
import { arrow, moment, money, percent } from "./format.js";
import { reasonWords } from "./words.js";

/** @typedef {import("../realtime/store.js").Portfolio} Portfolio */

export class PortfolioHeader {
  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
  }

  paint(/** @type {Portfolio} */ portfolio) {
    const { currency } = portfolio;
    setText(part(this.root, "total"), money(portfolio.total_value, currency));
    this.#paintToday(portfolio);
    for (const name of ["unrealized", "realized", "income"]) {
      this.#fact(name, money(portfolio[name], currency, { sign: true }), portfolio[name]);
    }
    for (const name of ["cash", "invested", "fees"]) this.#fact(name, money(portfolio[name], currency));
    this.#paintCoverage(portfolio);
    this.#paintTime(portfolio);
  }

  #paintToday(/** @type {Portfolio} */ { daily_change: change, daily_change_percent: share, currency }) {
    const today = part(this.root, "today");
    const rate = share == null ? "" : ` (${percent(share)})`;
    setText(today, change == null ? "" : `${arrow(change)} ${money(change, currency, { sign: true })}${rate} today`);
    setDirection(today, change);
  }

  #paintCoverage(/** @type {Portfolio} */ portfolio) {
    const { unpriced = [] } = portfolio;
    const element = part(this.root, "coverage");
    setText(element, coverageText(portfolio));
    const why = unpriced.map((/** @type {any} */ { symbol, reason }) => `${symbol}: ${reasonWords(reason)}`).join("\n");
    setAttribute(element, "title", why || "Every position has a price");
    element.classList.toggle("lacking", unpriced.length > 0);
  }

  #paintTime(/** @type {Portfolio} */ portfolio) {
    const { oldest_price_at: oldest } = portfolio;
    const element = part(this.root, "as-of");
    setText(element, moment(newestPrice(portfolio)));
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
