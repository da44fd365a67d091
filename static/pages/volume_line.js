/** What was traded in the running minute, in the one before it and in the session, by the server's bars. */

import { all } from "./api.js";
import { BarSeries } from "./bar_series.js";
import { part, setAttribute, setText } from "./dom.js";
import { day, minute, size } from "./format.js";
import { unitsOf } from "./ladder.js";

const MINUTES = 10 * 60000; // read of the past: the last one that was traded in, not an hour of them
const DAYS = 7 * 86400000; // over a long weekend

export class VolumeLine {
  #symbol = "";
  #units = "";
  #minutes = new BarSeries("1m");
  #days = new BarSeries("1d");

  /**
   * @param {HTMLElement} root
   * @param {import("../realtime/store.js").Store} store
   */
  constructor(root, store) {
    this.root = root;
    this.store = store;
  }

  /** @param {Record<string, any>} asset */
  show(asset) {
    this.#symbol = asset.symbol;
    this.#units = unitsOf(asset);
    void this.load();
  }

  async load() {
    const symbol = this.#symbol;
    if (!symbol) return;
    [this.#minutes, this.#days] = [new BarSeries("1m"), new BarSeries("1d")];
    this.paint();
    const [minutes, days] = await Promise.all([this.#read(symbol, "1m", MINUTES), this.#read(symbol, "1d", DAYS)]);
    if (symbol !== this.#symbol) return;
    this.#minutes.setHistory(minutes, this.store.streams.bars(symbol, "1m"));
    this.#days.setHistory(days, this.store.streams.bars(symbol, "1d"));
    this.paint();
  }

  paint() {
    for (const series of [this.#minutes, this.#days]) series.take(this.store.streams.bars(this.#symbol, series.interval));
    this.#figure("minute", this.#minutes.bars.at(-1), "This minute");
    this.#figure("last", this.#minutes.bars.at(-2), "Minute before");
    this.#figure("session", this.#days.bars.at(-1), "Session");
  }

  /**
   * @param {string} name
   * @param {import("./bar_series.js").ChartBar|undefined} bar
   * @param {string} label  while there is no bar
   */
  #figure(name, bar, label) {
    const isDay = name === "session";
    const time = bar && !isDay ? minute(bar.start) : "";
    setText(part(this.root, `${name}-label`), time === "" ? label : name === "minute" ? `${time} so far` : time);
    const text = bar?.volume == null ? "—" : `${size(bar.volume)} ${this.#units}`.trim();
    setText(part(this.root, name), text);
    setAttribute(part(this.root, name), "title", bar && isDay ? day(bar.start) : null);
  }

  /**
   * @param {string} symbol
   * @param {"1m"|"1d"} interval
   * @param {number} back  milliseconds
   */
  #read(symbol, interval, back) {
    const start = encodeURIComponent(new Date(Date.now() - back).toISOString());
    return all(`/api/assets/${encodeURIComponent(symbol)}/bars/?interval=${interval}&start=${start}`, { pages: 1 }).catch(() => []);
  }
}
