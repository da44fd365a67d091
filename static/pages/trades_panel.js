/** The last trades of the selected asset, newest first; a new one goes in at the top and the others stay as they are. */

import { el, part } from "./dom.js";
import { clock, dayTime, price, priceDigits, size } from "./format.js";
import { tradesAfter } from "./ladder.js";

const SIDE = /** @type {Record<string, {mark: string, tone: string}>} */ ({
  buy: { mark: "▲", tone: "up" },
  sell: { mark: "▼", tone: "down" },
});
const SHOWN = 50;

export class TradesPanel {
  /** @type {import("./ladder.js").Trade|null} */ #newest = null;
  #digits = 2;
  #count = 0;

  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
    this.rows = part(root, "rows");
  }

  /**
   * @param {ReadonlyArray<import("./ladder.js").Trade>} trades  oldest first
   * @param {string} reason  why there are none
   */
  paint(trades, reason) {
    const message = part(this.root, "message");
    message.hidden = trades.length > 0;
    part(this.root, "wrap").hidden = !trades.length;
    if (message.textContent !== reason) message.textContent = reason;
    const { fresh, isAnew } = tradesAfter(trades, this.#newest);
    if (isAnew) {
      this.rows.replaceChildren();
      this.#digits = 2;
      this.#count = 0;
    }
    this.#newest = trades.at(-1) ?? null;
    for (const trade of fresh) this.#digits = Math.max(this.#digits, priceDigits(trade.price));
    this.rows.prepend(...fresh.flatMap((trade) => this.#rowsOf(trade)).reverse());
    this.#count += fresh.length;
    while (this.#count > SHOWN) {
      if (this.rows.lastElementChild.hasAttribute("data-number")) this.#count -= 1;
      this.rows.lastElementChild.remove();
    }
  }

  /** @returns {HTMLElement[]} oldest first: what was left out stands before the trade that says so */
  #rowsOf(/** @type {import("./ladder.js").Trade} */ trade) {
    const row = this.#row(trade);
    if (!trade.missed) return [row];
    return [el("tr", { class: "missed" }, el("td", { colspan: 4, text: `${trade.missed} left out` })), row];
  }

  #row(/** @type {import("./ladder.js").Trade} */ trade) {
    const { mark, tone } = SIDE[trade.side] ?? { mark: "·", tone: "" };
    const side = el("td", { class: "side" }, el("span", { "aria-hidden": "true", text: mark }), el("span", { class: "sr-only", text: trade.side ?? "unknown" }));
    return el(
      "tr",
      { "data-number": trade.number, class: tone },
      side,
      el("td", { class: "price", text: price(trade.price, this.#digits) }),
      el("td", { text: trade.quantity == null ? "—" : size(trade.quantity) }),
      el("td", { class: "time" }, el("time", { datetime: trade.as_of, title: dayTime(trade.as_of), text: clock(trade.as_of) })),
    );
  }
}
