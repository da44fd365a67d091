/** The best levels of the selected asset's book. Its rows are made once; then only what changed is written. */

import { el, part, setAttribute, setText } from "./dom.js";
import { moment, price, size } from "./format.js";
import { LEVELS, ladder } from "./ladder.js";

const SIDES = /** @type {const} */ (["bid", "ask"]);

export class DepthPanel {
  /** @type {import("./ladder.js").Book|null} */ #shown = null;

  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
    this.rows = Array.from({ length: LEVELS }, () => new Row());
    part(root, "rows").replaceChildren(...this.rows.map(({ element }) => element));
  }

  /**
   * @param {import("./ladder.js").Book|undefined} book
   * @param {string} reason  why there is none
   */
  paint(book, reason) {
    setText(part(this.root, "message"), book ? "" : reason);
    part(this.root, "message").hidden = Boolean(book);
    part(this.root, "table").hidden = !book;
    part(this.root, "spread").hidden = !book;
    if (!book || book === this.#shown) return;
    this.#shown = book;
    const { bids, asks, digits, places, spread, percent } = ladder(book);
    this.rows.forEach((row, i) => {
      row.paint("bid", bids[i], digits, places);
      row.paint("ask", asks[i], digits, places);
    });
    const share = percent === null ? "" : ` (${price(percent, percent < 0.01 ? 4 : 2)}%)`;
    setText(part(this.root, "spread"), spread === null ? "One side only" : `Spread ${price(spread, digits)}${share}`);
    setAttribute(part(this.root, "table"), "title", `${book.source ?? ""} · as of ${moment(book.as_of)}`);
  }
}

class Row {
  constructor() {
    const cell = (/** @type {string} */ name, /** @type {any[]} */ ...children) => el("td", { class: name }, ...children);
    this.bars = { bid: el("i", { "aria-hidden": "true" }), ask: el("i", { "aria-hidden": "true" }) };
    this.texts = {
      bid: { price: el("span"), quantity: el("span") },
      ask: { price: el("span"), quantity: el("span") },
    };
    this.element = el(
      "tr",
      {},
      cell("bid quantity", this.texts.bid.quantity),
      cell("bid price", this.bars.bid, this.texts.bid.price),
      cell("ask price", this.bars.ask, this.texts.ask.price),
      cell("ask quantity", this.texts.ask.quantity),
    );
  }

  /**
   * @param {typeof SIDES[number]} side
   * @param {import("./ladder.js").Rung|undefined} rung
   * @param {number} digits  of a price
   * @param {number} places  of a quantity
   */
  paint(side, rung, digits, places) {
    const texts = this.texts[side];
    setText(texts.price, rung ? price(rung.price, digits) : "");
    setText(texts.quantity, rung ? size(rung.quantity, places) : "");
    const share = (rung?.share ?? 0).toFixed(3);
    const { style } = this.bars[side];
    if (style.getPropertyValue("--share") !== share) style.setProperty("--share", share);
  }
}
