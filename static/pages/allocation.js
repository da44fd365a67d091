/** How a portfolio is divided: a donut, and the same in a table for whoever sees none. */

import { api } from "./api.js";
import { el, part, setAttribute, setText, svg } from "./dom.js";
import { money, price } from "./format.js";
import { slicesOf } from "./slices.js";

const REFRESH = 20000; // milliseconds
const NAMES = /** @type {Record<string, string>} */ ({ asset: "asset", currency: "currency", class: "class" });

export class Allocation {
  #by = "asset";
  /** @type {AbortController|null} */ #request = null;

  /**
   * @param {HTMLElement} root
   * @param {number} portfolioId
   */
  constructor(root, portfolioId) {
    this.root = root;
    this.portfolioId = portfolioId;
    this.donut = part(root, "donut");
    for (const button of this.#buttons()) button.addEventListener("click", () => this.#choose(button.dataset.by ?? "asset"));
    for (const type of ["pointerover", "pointerout"]) root.addEventListener(type, (event) => this.#point(event));
    setInterval(() => document.hidden || void this.load(), REFRESH);
  }

  async load() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    try {
      this.#draw(await api(`/api/portfolios/${this.portfolioId}/allocation/?by=${this.#by}`, { signal: request.signal }));
    } catch (error) {
      if (!request.signal.aborted) this.#say(`The allocation can't be loaded. ${/** @type {Error} */ (error).message}`);
    }
  }

  #choose(/** @type {string} */ by) {
    this.#by = by;
    for (const button of this.#buttons()) setAttribute(button, "aria-pressed", String(button.dataset.by === by));
    void this.load();
  }

  #draw(/** @type {any} */ { shares, currency, by }) {
    const slices = slicesOf(shares);
    this.#say(slices.length ? "" : "Nothing is held yet.");
    setAttribute(this.donut, "aria-label", `Allocation by ${NAMES[by]}: ${slices.map(({ label, share_percent: percent }) => `${label} ${shown(percent)}`).join(", ")}`);
    this.donut.replaceChildren(...slices.filter(({ arc }) => arc > 0).map((slice, i) => ring(slice, i)));
    part(this.root, "rows").replaceChildren(...slices.map((slice, i) => row(slice, i, by, currency)));
    setText(part(this.root, "caption"), `Allocation by ${NAMES[by]}`);
  }

  /** What is pointed at stands out in the ring and in the table. */
  #point(/** @type {Event} */ event) {
    const target = event.target instanceof Element ? event.target.closest("[data-key]") : null;
    const key = event.type === "pointerover" ? target?.getAttribute("data-key") : null;
    for (const one of this.root.querySelectorAll("[data-key]")) one.classList.toggle("pointed", key != null && one.getAttribute("data-key") === key);
    this.donut.classList.toggle("pointing", key != null);
  }

  #say(/** @type {string} */ text) {
    setText(part(this.root, "message"), text);
    part(this.root, "message").hidden = text === "";
    part(this.root, "picture").hidden = text !== "";
  }

  /** @returns {HTMLButtonElement[]} */
  #buttons() {
    return [.../** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll("[data-by]"))];
  }
}

/**
 * @param {import("./slices.js").Slice} slice
 * @param {number} index
 */
function ring({ key, arc, start }, index) {
  // From the top on; turned rather than offset, so that no dash crosses the seam of its circle.
  const turned = `rotate(${3.6 * start - 90} 60 60)`;
  const line = { cx: "60", cy: "60", r: "46", pathLength: "100", "stroke-dasharray": `${arc} 100`, transform: turned };
  return svg("circle", { class: `slice ${tint(key, index)}`, "data-key": key, ...line });
}

/**
 * @param {import("./slices.js").Slice} slice
 * @param {number} index
 * @param {string} by
 * @param {string} currency
 */
function row({ key, label, value, share_percent: percent, arc }, index, by, currency) {
  const name = by === "asset" && !/^(cash|other):/.test(key) ? key : label;
  const mark = el("i", { class: arc > 0 ? `swatch ${tint(key, index)}` : "swatch", "aria-hidden": "true" });
  return el(
    "tr",
    { "data-key": key },
    el("th", { scope: "row" }, el("span", { class: "share" }, mark, el("span", { text: name, title: label }))),
    el("td", { text: money(value, currency) }),
    el("td", { text: shown(percent) }),
  );
}

function shown(/** @type {number|null} */ percent) {
  return percent === null ? "—" : `${price(percent, 2)}%`;
}

/**
 * @param {string} key
 * @param {number} index
 */
function tint(key, index) {
  return key === "other:" ? "tint-other" : `tint-${index}`;
}
