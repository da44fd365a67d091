/** One asset's history as bars, whose last one lives: the newest quote moves it until the next begins. */

import { CandlestickSeries, HistogramSeries, createChart } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { all } from "./api.js";
import { chartColours, chartLayout, tone } from "./chart_looks.js";
import { memory, part, setAttribute, setDirection, setText } from "./dom.js";
import { arrow, day, dayTime, percent, price, priceDigits, signed } from "./format.js";

/** @typedef {{time: any, open: number, high: number, low: number, close: number, volume?: number}} ChartBar */

const DAY = 86400000;
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
  /** @type {ChartBar|null} */ #last = null;
  #count = 0;
  /** @type {ChartBar[]} */ #history = [];
  /** @type {AbortController|null} */ #request = null;

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

  /** Fetches the history again; also after a reconnect, to fill what was missed. */
  async load() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const { interval, days } = RANGES[this.#range];
    const start = days === null ? "" : `&start=${encodeURIComponent(new Date(Date.now() - days * DAY).toISOString())}`;
    if (!this.#count || this.figure.dataset.symbol !== this.symbol) this.#say("Loading…");
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
    if (this.figure.dataset.symbol === this.symbol) this.#moveLast(quote);
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
    const bars = rows.map((row) => ({ ...row, time: barTime(row.start, interval) }));
    this.#setDigits(bars.slice(-20).reduce((most, bar) => Math.max(most, priceDigits(bar.close)), 2));
    this.#last = bars.at(-1) ?? null;
    this.#count = bars.length;
    // Copies: the library rewrites the times of what it is given.
    this.bars.setData(bars.map((bar) => ({ ...bar })));
    this.#history = bars;
    this.#drawVolumes();
    this.chart.timeScale().applyOptions({ timeVisible: interval === "1m", secondsVisible: false });
    this.#setRoom(interval);
    this.figure.dataset.symbol = this.symbol;
    this.figure.dataset.bars = String(bars.length);
    this.#describe(rows, interval);
    this.paint();
    if (this.#last) this.#say("");
    else this.#say(interval === "1m" ? "No minute bars yet: they gather while the feed runs." : "No history yet.");
  }

  /** Few bars keep a natural width at the right instead of being blown up. */
  #setRoom(/** @type {"1m"|"1d"} */ interval) {
    const scale = this.chart.timeScale();
    const least = interval === "1m" ? 60 : 20;
    if (this.#count < least) scale.setVisibleLogicalRange({ from: this.#count - least, to: this.#count + 1 });
    else scale.fitContent();
  }

  #moveLast(/** @type {Record<string, any>} */ quote) {
    const { interval } = RANGES[this.#range];
    const time = barTime(quote.as_of, interval);
    if (this.#last && compareTimes(time, this.#last.time) < 0) return; // an older market than the history's
    if (this.#last && compareTimes(time, this.#last.time) === 0) {
      const { open, high, low, volume } = this.#last;
      this.#last = { time, open, high: Math.max(high, quote.price), low: Math.min(low, quote.price), close: quote.price, volume };
    } else {
      this.#last = newBar(time, quote, interval);
      this.#count += 1;
      this.#say("");
    }
    this.bars.update({ ...this.#last });
    this.figure.dataset.last = String(quote.price);
    this.figure.dataset.bars = String(this.#count);
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
    const known = this.#history.filter(({ volume }) => volume != null);
    const colour = (/** @type {ChartBar} */ bar) => (bar.close < bar.open ? this.tones?.down : this.tones?.up);
    this.volumes.setData(known.map((bar) => ({ time: bar.time, value: bar.volume, color: colour(bar) })));
  }
}

/**
 * A day by its date, a minute by its second; both count in UTC, as the server's bars do.
 * @param {string} iso
 * @param {"1m"|"1d"} interval
 */
function barTime(iso, interval) {
  if (interval === "1d") return new Date(iso).toISOString().slice(0, 10);
  return Math.floor(Date.parse(iso) / 60000) * 60;
}

/**
 * @param {any} a
 * @param {any} b
 */
function compareTimes(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * A day opens where the session did, if the source knows; a rolling 24-hour window is no day.
 * @param {any} time
 * @param {Record<string, any>} quote
 * @param {"1m"|"1d"} interval
 * @returns {ChartBar}
 */
function newBar(time, quote, interval) {
  const { price: close } = quote;
  if (interval === "1m" || quote.window === "24h" || quote.open == null) return { time, open: close, high: close, low: close, close };
  return { time, open: quote.open, high: Math.max(close, quote.high ?? close, quote.open), low: Math.min(close, quote.low ?? close, quote.open), close };
}
