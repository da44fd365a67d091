/**
 * Everything that is shown of one asset, the selected one: chart, order book, trades, volume, greeks. Knows which of its
 * channels to ask for; the page does the asking, and only as long as the asset is selected.
 */

import { el, part, setText, view } from "./dom.js";
import { percent, price } from "./format.js";
import { DepthPanel } from "./depth_panel.js";
import { PriceChart } from "./price_chart.js";
import { TradesPanel } from "./trades_panel.js";
import { VolumeLine } from "./volume_line.js";

const GREEKS = ["delta", "gamma", "theta", "vega", "iv"];
// Some vendors' keys do not tell an option from a future: such an asset is asked for greeks too.
const MAY_BE_OPTIONS = new Set(["option", "other"]);

export class SelectedAsset {
  /** @type {Record<string, any>} */ #asset = {};
  /** @type {Set<string>} */ #refused = new Set(); // modes and channels that the server did not grant for it
  #manualAsOf = "";

  /**
   * @param {HTMLElement} root
   * @param {import("../realtime/store.js").Store} store
   */
  constructor(root, store) {
    this.store = store;
    this.chart = new PriceChart(root, store);
    this.depth = new DepthPanel(view("depth"));
    this.trades = new TradesPanel(view("trades"));
    this.volume = new VolumeLine(view("volume"), store);
    this.panels = /** @type {HTMLElement} */ (this.depth.root.parentElement);
    this.greeks = part(root, "greeks");
  }

  get symbol() {
    return this.chart.symbol;
  }

  /** @param {Record<string, any> & {symbol: string}} asset  as REST tells it, or its symbol alone */
  show(asset) {
    const isNew = asset.symbol !== this.symbol;
    this.#asset = asset;
    if (!isNew) return;
    this.#refused.clear();
    this.store.streams.forget(this.symbol);
    this.store.streams.forget(asset.symbol);
    this.greeks.hidden = true;
    for (const { root } of [this.depth, this.trades]) setText(part(root, "symbol"), asset.symbol);
    this.chart.show(asset.symbol, asset.name ?? "");
    this.volume.show(asset);
    this.paint();
  }

  /** After a reconnect or a gap: what came in between is only to be had over REST. */
  load() {
    void this.chart.load();
    void this.volume.load();
  }

  /** @returns {import("../realtime/client.js").Wish} */
  get wish() {
    const given = this.#given();
    /** @type {import("../realtime/client.js").Channel[]} */
    const channels = ["bars"];
    for (const name of /** @type {const} */ (["trades", "book"])) {
      if (given.has(name) && !this.#refused.has(name)) channels.push(name);
    }
    const wantsGreeks = MAY_BE_OPTIONS.has(this.#asset.asset_class) && !this.#refused.has("option_greeks");
    return wantsGreeks ? { mode: "option_greeks", channels } : { channels };
  }

  /**
   * The server refused the wish; a smaller one may do.
   * @returns {boolean} whether there is a smaller one
   */
  askLess() {
    const { mode, channels = [] } = this.wish;
    if (mode) this.#refused.add(mode);
    else for (const name of channels) if (name !== "bars") this.#refused.add(name);
    return mode !== undefined || channels.length > 1;
  }

  /** Sources came or went: what was refused may be had now. */
  onFeeds() {
    this.#refused.clear();
    this.paint();
  }

  paintQuote() {
    this.chart.paint();
    const quote = this.store.quotes.get(this.symbol);
    if (!quote) return;
    this.#paintGreeks(quote);
    // No feed tells of what was set by hand.
    if (quote.source !== "manual" || quote.as_of === this.#manualAsOf) return;
    if (this.#manualAsOf) this.load();
    this.#manualAsOf = quote.as_of;
  }

  /** What the channels say. */
  paint() {
    const { books, trades } = this.store.streams;
    this.chart.paintBars();
    this.volume.paint();
    this.panels.classList.toggle("stalled", !this.#running().length);
    this.depth.paint(books.get(this.symbol), this.#reason("book", "no order book", "Waiting for the order book…"));
    this.trades.paint(trades.get(this.symbol) ?? [], this.#reason("trades", "no trades", "No trade since the feed began."));
  }

  /** @returns {Set<string>} the channels that the asset's sources can fill */
  #given() {
    return new Set(this.#sources().flatMap((source) => this.store.feeds.get(source)?.channels ?? []));
  }

  /** @returns {string[]} */
  #sources() {
    return this.#asset.sources ?? [];
  }

  #running() {
    return this.#sources().filter((source) => this.store.isRunning(source));
  }

  /**
   * @param {"book"|"trades"} channel
   * @param {string} what
   * @param {string} waiting
   */
  #reason(channel, what, waiting) {
    const isGiven = this.#given().has(channel) && !this.#refused.has(channel);
    if (isGiven) return waiting;
    const running = this.#running();
    if (!running.length) return "No source of this asset is running.";
    if (running.some((source) => !this.store.feeds.get(source)?.channels)) return waiting; // until it says what it gives
    return running.length > 1 ? `Its sources give ${what}.` : `This source gives ${what}.`;
  }

  #paintGreeks(/** @type {Record<string, any>} */ quote) {
    const known = GREEKS.filter((name) => quote[name] != null);
    this.greeks.hidden = !MAY_BE_OPTIONS.has(this.#asset.asset_class) || !known.length;
    if (this.greeks.hidden) return;
    if (!this.greeks.childElementCount) {
      this.greeks.append(...GREEKS.map((name) => el("div", {}, el("dt", { text: name === "iv" ? "IV" : name }), el("dd", { "data-f": name }))));
    }
    for (const name of GREEKS) {
      const value = quote[name];
      const text = value == null ? "—" : name === "iv" ? percent(100 * value).replace("+", "") : price(value, 4);
      setText(part(this.greeks, name), text);
    }
  }
}
