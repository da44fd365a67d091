/** What a portfolio was worth at the end of each day; today's point moves with the prices. */

import { AreaSeries, LineSeries, createChart } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { api } from "./api.js";
import { chartColours, chartLayout, tone } from "./chart_looks.js";
import { memory, part, setAttribute, setText } from "./dom.js";
import { money } from "./format.js";
import { dateIn, isKnown, pointsOf, summaryOf } from "./history.js";

const DAY = 86400000;
/** @type {Record<string, number>} */
const RANGES = { "1M": 31, "3M": 92, "1Y": 365, All: 7319 };
const CLEAR = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };

export class ValueChart {
  /** @type {import("./history.js").Day[]} */ #days = [];
  #range = RANGES[memory.get("value_range") ?? ""] ? /** @type {string} */ (memory.get("value_range")) : "3M";
  /** @type {AbortController|null} */ #request = null;

  /**
   * @param {HTMLElement} root
   * @param {{id: number, currency: string, zone: string}} portfolio
   */
  constructor(root, { id, currency, zone }) {
    this.root = root;
    this.id = id;
    this.currency = currency;
    this.zone = zone;
    this.figure = /** @type {HTMLElement} */ (root.querySelector("figure"));
    this.chart = createChart(part(root, "canvas"), chartLayout());
    const priceFormat = { type: "custom", minMove: 0.01, formatter: (/** @type {number} */ value) => money(value, currency) };
    const quiet = /** @type {any} */ ({ priceFormat, priceLineVisible: false, lastValueVisible: false });
    this.line = this.chart.addSeries(AreaSeries, { ...quiet, lineWidth: 2 });
    this.dots = this.chart.addSeries(LineSeries, { ...quiet, lineVisible: false, pointMarkersVisible: true, pointMarkersRadius: 2, crosshairMarkerVisible: false });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.1, bottom: 0.06 } });
    this.#colour();
    document.addEventListener("livefolio:theme", () => this.#recolour());
    for (const button of this.#buttons()) button.addEventListener("click", () => this.#setRange(button.dataset.range ?? "3M"));
    this.#press();
  }

  async load() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const start = dateIn(this.zone, new Date(Date.now() - RANGES[this.#range] * DAY));
    try {
      const answer = await api(`/api/portfolios/${this.id}/history/?start=${start}`, { signal: request.signal });
      this.#days = answer;
      this.#draw();
    } catch (error) {
      if (!request.signal.aborted) this.#say(`The history can't be loaded. ${/** @type {Error} */ (error).message}`);
    }
  }

  /** Today's value; a total that lacks something is no value of the day. */
  paint(/** @type {import("../realtime/store.js").Portfolio} */ portfolio) {
    const last = this.#days.at(-1);
    if (!last || !isKnown(last) || portfolio.unpriced?.length) return;
    const today = dateIn(this.zone);
    if (last.date < today) return void this.#nextDay(today);
    if (last.value === portfolio.total_value) return;
    last.value = portfolio.total_value;
    const [point] = pointsOf(this.#days.slice(-2)).slice(-1);
    this.line.update(/** @type {any} */ (this.#coloured(point)));
    if (point.lone) this.dots.update(/** @type {any} */ ({ time: point.time, value: point.value }));
    this.figure.dataset.last = String(portfolio.total_value);
  }

  /** Midnight has passed in the portfolio's zone: the day before is closed, and the server knows how. */
  #nextDay(/** @type {string} */ today) {
    if (this.asked === today) return;
    this.asked = today;
    void this.load();
  }

  #draw() {
    const points = pointsOf(this.#days);
    this.line.setData(/** @type {any} */ (points.map((point) => this.#coloured(point))));
    this.dots.setData(/** @type {any} */ (points.filter((point) => point.lone).map(({ time, value }) => ({ time, value }))));
    this.chart.timeScale().fitContent();
    const known = this.#days.filter(isKnown);
    this.figure.dataset.days = String(this.#days.length);
    this.figure.dataset.gaps = String(this.#days.length - known.length);
    setText(part(this.root, "summary"), summaryOf(this.#days, this.currency));
    const gaps = this.#days.length - known.length;
    const note = gaps ? `${gaps === 1 ? "1 day" : `${gaps} days`} without all prices: not drawn` : "";
    setText(part(this.root, "gaps"), note);
    this.#say(known.length ? "" : "No day is over yet, or its prices are not known.");
  }

  #coloured(/** @type {import("./history.js").Point} */ { time, value, ends }) {
    return { time, ...(value === undefined ? {} : { value }), ...(ends ? CLEAR : {}) };
  }

  #setRange(/** @type {string} */ range) {
    this.#range = range;
    memory.set("value_range", range);
    this.#press();
    void this.load();
  }

  /** @returns {HTMLButtonElement[]} */
  #buttons() {
    return [.../** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll("[data-range]"))];
  }

  #press() {
    for (const button of this.#buttons()) setAttribute(button, "aria-pressed", String(button.dataset.range === this.#range));
  }

  #say(/** @type {string} */ text) {
    const message = part(this.root, "message");
    setText(message, text);
    message.hidden = text === "";
  }

  #colour() {
    const accent = tone(this.root, "accent");
    this.chart.applyOptions(chartColours(this.root));
    this.line.applyOptions({ lineColor: accent, topColor: tone(this.root, "accent-wash"), bottomColor: tone(this.root, "card") });
    this.dots.applyOptions({ color: accent });
  }

  #recolour() {
    this.#colour();
    this.line.setData(/** @type {any} */ (pointsOf(this.#days).map((point) => this.#coloured(point))));
  }
}
