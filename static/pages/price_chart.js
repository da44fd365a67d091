/** One asset's bars as the server builds them: its history over REST, and from then on what the channel says. */

import { CandlestickSeries, HistogramSeries, createChart } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { all } from "./api.js";
import { BarSeries } from "./bar_series.js";
import { chartColours, chartLayout, tone } from "./chart_looks.js";
import { memory, part, setAttribute, setDirection, setText } from "./dom.js";
import { arrow, day, dayTime, percent, price, priceDigits, signed } from "./format.js";

/** @typedef {import("./bar_series.js").ChartBar} ChartBar */

const DAY = 86400000;
const TAIL_WAIT = 2500; // milliseconds; what the feed has handed over is to be read over REST a second later
/** @type {Record<string, {interval: "1m"|"1d", days: number|null}>} */
const RANGES = {
  "1D": { interval: "1m", days: 1 },
  "1M": { interval: "1d", days: 31 },
  "3M": { interval: "1d", days: 92 },
  "1Y": { interval: "1d", days: 366 },
  All: { interval: "1d", days: null },
};

export class PriceChart {
  symbol = "";
  #range = RANGES[memory.get("range") ?? ""] ? /** @type {string} */ (memory.get("range")) : "3M";
  #digits = 0; // none set yet
  /** @type {BarSeries} */ #series = new BarSeries("1d");
  /** @type {AbortController|null} */ #request = null;
  /** @type {any} */ #tailTimer = null;

  /**
   * @param {HTMLElement} root
   * @param {import("../realtime/store.js").Store} store
   */
  constructor(root, store) {
    this.root = root;
    this.store = store;
    this.figure = /** @type {HTMLElement} */ (root.querySelector("figure"));
    this.message = part(root, "message");
    this.chart = createChart(part(root, "canvas"), chartLayout());
    this.bars = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volumes = this.chart.addSeries(HistogramSeries, { priceFormat: { type: "volume" }, priceScaleId: "", lastValueVisible: false, priceLineVisible: false });
    this.volumes.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.#colour();
    document.addEventListener("livefolio:theme", () => this.#recolour());
    for (const button of this.#rangeButtons()) button.addEventListener("click", () => this.setRange(button.dataset.range ?? "3M"));
    this.#pressRange();
  }

  /**
   * @param {string} symbol
   * @param {string} name
   */
  show(symbol, name) {
    if (symbol === this.symbol) return;
    this.symbol = symbol;
    setText(part(this.root, "symbol"), symbol);
    setText(part(this.root, "name"), name);
    for (const field of ["open", "previous_close", "bid", "ask", "price"]) setText(part(this.root, field), "—");
    setText(part(this.root, "change"), "");
    void this.load();
  }

  setRange(/** @type {string} */ range) {
    this.#range = range;
    memory.set("range", range);
    this.#pressRange();
    void this.load();
  }

  /** Fetches the history again; also after a reconnect or a gap, to fill what was missed. */
  async load() {
    clearTimeout(this.#tailTimer);
    if (!this.symbol) return; // a range may be chosen before there is an asset
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const { interval, days } = RANGES[this.#range];
    const start = days === null ? "" : `&start=${encodeURIComponent(new Date(Date.now() - days * DAY).toISOString())}`;
    if (!this.#series.bars.length || this.figure.dataset.symbol !== this.symbol) this.#say("Loading…");
    try {
      const path = `/api/assets/${encodeURIComponent(this.symbol)}/bars/?interval=${interval}${start}`;
      const bars = await all(path, { signal: request.signal });
      if (!request.signal.aborted) this.#setHistory(bars, interval);
    } catch (error) {
      if (request.signal.aborted) return;
      this.#say(`The history can't be loaded. ${/** @type {Error} */ (error).message}`, () => void this.load());
    }
  }

  paint() {
    const quote = this.store.quotes.get(this.symbol);
    if (!quote) return;
    const digits = Math.max(this.#digits, priceDigits(quote.price));
    if (this.figure.dataset.symbol === this.symbol) this.#setDigits(digits); // history may have been empty, or whole numbers
    setText(part(this.root, "price"), price(quote.price, digits));
    const change = part(this.root, "change");
    setText(change, quote.change == null ? "" : `${arrow(quote.change)} ${signed(quote.change, digits)} (${percent(quote.change_percent)})`);
    setDirection(change, quote.change);
    for (const field of ["open", "previous_close", "bid", "ask"]) {
      setText(part(this.root, field), price(quote[field], quote[field] == null ? undefined : digits));
    }
    setText(part(this.root, "open_label"), quote.window === "24h" ? "Open, 24 h ago" : "Open");
  }

  /** Draws the bars that the channel has told since the last time; a revised one in its place. */
  paintBars() {
    if (this.figure.dataset.symbol !== this.symbol) return; // its history is on the way and brings them along
    const { changed, redraw } = this.#series.take(this.#live());
    if (redraw) this.#drawAll();
    else for (const { bar, isPast } of changed) this.#draw(bar, isPast);
    if (!changed.length) return;
    this.#say("");
    this.#mark();
    this.#readTail();
  }

  #live() {
    return this.store.streams.bars(this.symbol, this.#series.interval);
  }

  /** The channel tells the open bar and later ones; the end of the one before is read once it is stored. */
  #readTail() {
    if (!this.#series.lacksTail) return;
    this.#series.lacksTail = false;
    clearTimeout(this.#tailTimer);
    this.#tailTimer = setTimeout(() => void this.load(), TAIL_WAIT);
  }

  /** @param {number} digits */
  #setDigits(digits) {
    if (digits === this.#digits) return;
    this.#digits = digits;
    const minMove = 10 ** -digits;
    this.bars.applyOptions({ priceFormat: { type: "custom", minMove, formatter: (/** @type {number} */ value) => price(value, digits) } });
  }

  /**
   * @param {any[]} rows
   * @param {"1m"|"1d"} interval
   */
  #setHistory(rows, interval) {
    const isSame = this.figure.dataset.symbol === this.symbol && this.figure.dataset.range === this.#range;
    this.#series = new BarSeries(interval);
    this.#series.setHistory(rows, this.store.streams.bars(this.symbol, interval));
    const { bars } = this.#series;
    this.#setDigits(bars.slice(-20).reduce((most, bar) => Math.max(most, priceDigits(bar.close)), 2));
    this.#drawAll();
    this.chart.timeScale().applyOptions({ timeVisible: interval === "1m", secondsVisible: false });
    if (!isSame) this.#setRoom(interval);
    this.figure.dataset.symbol = this.symbol;
    this.figure.dataset.range = this.#range;
    this.#mark();
    this.#describe(rows, interval);
    this.paint();
    if (bars.length) this.#say("");
    else this.#say(interval === "1m" ? "No minute bars yet: they gather while the feed runs." : "No history yet.");
  }

  #drawAll() {
    const { bars } = this.#series;
    // Copies: the library rewrites the times of what it is given.
    this.bars.setData(bars.map((bar) => ({ ...bar })));
    this.#drawVolumes();
  }

  /**
   * @param {ChartBar} bar
   * @param {boolean} isPast
   */
  #draw(bar, isPast) {
    this.bars.update({ ...bar }, isPast);
    if (bar.volume !== null) this.volumes.update(this.#volumeOf(bar), isPast);
  }

  /** For whoever looks at the page from outside: the canvas tells nothing. */
  #mark() {
    const last = this.#series.bars.at(-1);
    this.figure.dataset.bars = String(this.#series.bars.length);
    this.figure.dataset.last = last ? String(last.close) : "";
  }

  /** Few bars keep a natural width at the right instead of being blown up. */
  #setRoom(/** @type {"1m"|"1d"} */ interval) {
    const scale = this.chart.timeScale();
    const least = interval === "1m" ? 60 : 20;
    const { length } = this.#series.bars;
    if (length < least) scale.setVisibleLogicalRange({ from: length - least, to: length + 1 });
    else scale.fitContent();
  }

  /**
   * @param {any[]} rows
   * @param {"1m"|"1d"} interval
   */
  #describe(rows, interval) {
    const show = interval === "1m" ? dayTime : day;
    const unit = interval === "1m" ? "minute" : "daily";
    const span = rows.length ? ` from ${show(rows[0].start)} to ${show(rows[rows.length - 1].start)}` : "";
    setText(part(this.root, "summary"), `${this.symbol}: ${rows.length} ${unit} bars${span}`);
  }

  /**
   * @param {string} text  empty shows the chart
   * @param {() => void} [retry]
   */
  #say(text, retry) {
    this.message.hidden = text === "";
    this.message.replaceChildren(text);
    if (!retry) return;
    const button = Object.assign(document.createElement("button"), { className: "button button-small", type: "button", textContent: "Retry" });
    button.addEventListener("click", retry);
    this.message.append(button);
  }

  /** @returns {HTMLButtonElement[]} */
  #rangeButtons() {
    return [.../** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll("[data-range]"))];
  }

  #pressRange() {
    for (const button of this.#rangeButtons()) setAttribute(button, "aria-pressed", String(button.dataset.range === this.#range));
  }

  // --- looks ------------------------------------------------------------------------------------------------------

  #colour() {
    const [up, down] = ["up", "down"].map((name) => tone(this.root, name));
    this.chart.applyOptions(chartColours(this.root));
    this.bars.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.tones = { up: tone(this.root, "up-wash"), down: tone(this.root, "down-wash") };
  }

  #recolour() {
    this.#colour();
    this.#drawVolumes();
  }

  #drawVolumes() {
    const known = this.#series.bars.filter(({ volume }) => volume !== null);
    this.volumes.setData(known.map((bar) => this.#volumeOf(bar)));
  }

  #volumeOf(/** @type {ChartBar} */ { time, open, close, volume }) {
    return { time, value: volume, color: close < open ? this.tones?.down : this.tones?.up };
  }
}
