/** Which lots a sale closes, if it is to be others than the portfolio's method would take. */

import { el } from "./dom.js";
import { day, money } from "./format.js";
import { lotsOf } from "./lots.js";

export class LotChoice {
  #symbol = "";
  element = el("fieldset", { class: "field lot-choice span", name: "lots", "data-field": "lots", hidden: true });

  constructor(/** @type {number} */ portfolioId) {
    this.portfolioId = portfolioId;
  }

  /** Shows a holding's lots; an empty symbol shows none. */
  offer(/** @type {string} */ symbol) {
    if (symbol === this.#symbol) return;
    this.#symbol = symbol;
    this.element.replaceChildren();
    this.element.hidden = true;
    if (symbol) void this.#load(symbol);
  }

  /** @returns {Array<{row: number, quantity: string}>} */
  chosen() {
    if (this.element.hidden) return [];
    const inputs = [.../** @type {NodeListOf<HTMLInputElement>} */ (this.element.querySelectorAll("input"))];
    return inputs.filter(({ value }) => value.trim()).map((input) => ({ row: Number(input.dataset.row), quantity: input.value.trim() }));
  }

  async #load(/** @type {string} */ symbol) {
    const lots = await lotsOf(this.portfolioId, symbol, { exact: true }).catch(() => []);
    if (symbol !== this.#symbol || !lots.length) return;
    const legend = el("legend", { text: "Lots to close; empty: by the portfolio's method" });
    this.element.replaceChildren(legend, ...lots.map(choice));
    this.element.hidden = false;
  }
}

/** One lot, of which all or a part is taken; its numbers are the server's own text. */
function choice(/** @type {any} */ { row, opened, quantity, cost, symbol, currency }) {
  const most = quantity.replace("-", "");
  const id = `lot-${row}`;
  const input = el("input", { class: "input", id, "data-row": row, inputmode: "decimal", placeholder: "0", autocomplete: "off" });
  const all = el("button", { class: "link-button", type: "button", text: "All", "aria-label": `All of the lot of ${day(opened)}`, onclick: () => (input.value = most) });
  const worth = currency ? money(Number(cost), currency) : cost;
  return el("div", { class: "lot" }, el("label", { for: id, text: `${day(opened)}: ${most} ${symbol ?? ""}, cost ${worth}` }), input, all);
}
