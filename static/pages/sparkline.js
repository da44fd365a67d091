/** A price's last weeks as one small line. Decoration: hidden from screen readers, which get the numbers. */

import { svg } from "./dom.js";

const WIDTH = 76;
const HEIGHT = 26;

export class Sparkline {
  /** @type {number[]} */ #closes = [];
  /** @type {number|null} */ #live = null;
  #line = svg("polyline");
  element = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });

  constructor() {
    this.element.append(this.#line);
  }

  setCloses(/** @type {number[]} */ closes) {
    this.#closes = closes;
    this.#draw();
  }

  /** The newest point moves with the price. */
  setLive(/** @type {number} */ price) {
    if (this.#live === price) return;
    this.#live = price;
    if (this.#closes.length) this.#draw();
  }

  #draw() {
    const values = this.#live === null ? this.#closes : [...this.#closes, this.#live];
    if (values.length < 2) return;
    const low = Math.min(...values);
    const reach = Math.max(...values) - low || 1;
    const step = WIDTH / (values.length - 1);
    const y = (/** @type {number} */ value) => HEIGHT - 2 - ((value - low) / reach) * (HEIGHT - 4);
    this.#line.setAttribute("points", values.map((value, i) => `${(i * step).toFixed(1)},${y(value).toFixed(1)}`).join(" "));
    const rise = values[values.length - 1] - values[0];
    this.element.classList.toggle("up", rise > 0);
    this.element.classList.toggle("down", rise < 0);
  }
}
