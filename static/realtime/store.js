/**
 * What the server last said: quotes by symbol, portfolios by id, feeds by source; channels are `streams.js`'s. Owns the
 * merging and the order; never touches the DOM. A view asks takeChanges() once a frame, so a thousand ticks cost one
 * painting.
 */

import { Streams } from "./streams.js";

/**
 * @typedef {Record<string, any> & {symbol: string}} Quote
 * @typedef {Record<string, any> & {portfolio_id: number, positions: Array<Record<string, any>>}} Portfolio
 * @typedef {{source: string, state: string, since?: string, reason?: string, epoch?: number, channels?: string[],
 *   markets?: Record<string, string>}} Feed
 * @typedef {{symbols: Set<string>, portfolios: Set<number>, feeds: Set<string>, gaps: Set<string>,
 *   streams: Set<string>, account: boolean}} Changes  `streams` are symbols whose channels said something
 */

// States in which a source delivers, or is about to.
const RUNNING = new Set(["live", "connecting", "recovering", "standby"]);

const KEPT_ACCOUNT_EVENTS = 100; // as the server does

export class Store {
  /** @type {Map<string, Quote>} */ quotes = new Map();
  /** @type {Map<number, Portfolio>} */ portfolios = new Map();
  /** @type {Map<string, Feed>} */ feeds = new Map();
  /** @type {Array<Record<string, any>>} */ accountEvents = []; // newest first
  streams = new Streams();
  /** @type {Map<string, number>} */ #epochs = new Map(); // by source, as the server last named them
  /** @type {Set<string>} */ #unfenced = new Set(); // symbols whose next quote is taken whatever its number
  #changes = noChanges();
  /** @type {Set<() => void>} */ #listeners = new Set();

  /**
   * Called after changes, possibly often; takeChanges() says which.
   * @param {() => void} fn
   * @returns {() => void} ends the listening
   */
  onChange(fn) {
    this.#listeners.add(fn);
    return () => void this.#listeners.delete(fn);
  }

  /** @returns {Changes} everything that changed since the last call */
  takeChanges() {
    const changes = this.#changes;
    this.#changes = noChanges();
    return changes;
  }

  /**
   * Takes any envelope of the server; ignores the types that carry no state.
   * @param {{type: string, data: any}} envelope
   */
  apply({ type, data }) {
    if (type === "asset_updates") for (const quote of data) this.applyQuote(quote);
    else if (type === "asset_update") this.applyQuote(data);
    else if (type === "portfolio_update") this.applyPortfolio(data);
    else if (type === "portfolio_removed") this.#removePortfolio(data.portfolio_id);
    else if (type === "feed_status") this.applyFeed(data);
    else if (type === "connection") this.#newConnection(data);
    else if (type === "account_event") this.#addAccountEvent(data);
    else {
      const symbols = this.streams.apply({ type, data });
      if (symbols === null) return;
      for (const symbol of symbols) this.#changes.streams.add(symbol);
    }
    for (const fn of this.#listeners) fn();
  }

  /**
   * Per symbol and epoch the number only grows: an older one is a late frame and is dropped.
   * @param {Quote} update
   * @returns {boolean} whether it was taken
   */
  applyQuote(update) {
    const known = this.quotes.get(update.symbol);
    if (known && this.#isLate(known, update)) return false;
    this.#unfenced.delete(update.symbol);
    const epoch = update.epoch ?? this.#epochs.get(update.source);
    this.quotes.set(update.symbol, Object.freeze({ ...known, ...update, epoch }));
    this.#changes.symbols.add(update.symbol);
    return true;
  }

  /**
   * A quote that came over REST: only where nothing newer is known.
   * @param {Quote|null} quote
   */
  seedQuote(quote) {
    if (quote && !this.quotes.has(quote.symbol)) this.applyQuote(quote);
  }

  /**
   * `complete` replaces all positions; otherwise those that came replace their namesakes.
   * @param {Portfolio} update
   */
  applyPortfolio(update) {
    const known = this.portfolios.get(update.portfolio_id);
    const positions =
      update.complete === false && known
        ? mergePositions(known.positions, update.positions ?? [])
        : (update.positions ?? known?.positions ?? []);
    this.portfolios.set(update.portfolio_id, Object.freeze({ ...known, ...update, positions }));
    this.#changes.portfolios.add(update.portfolio_id);
  }

  /**
   * A new epoch of a source that was known is a gap: something may have been missed, and all of it came anew.
   * @param {Feed} feed
   */
  applyFeed(feed) {
    const known = this.feeds.get(feed.source);
    if (known?.epoch != null && feed.epoch != null && known.epoch !== feed.epoch) this.#changes.gaps.add(feed.source);
    if (feed.epoch != null && feed.epoch !== this.#epochs.get(feed.source)) this.#newEpoch(feed.source, feed.epoch);
    this.feeds.set(feed.source, Object.freeze({ ...feed }));
    this.#changes.feeds.add(feed.source);
  }

  /** @param {string|null|undefined} source */
  isRunning(source) {
    return source === "manual" || RUNNING.has(this.feeds.get(source ?? "")?.state ?? "");
  }

  /**
   * @param {Quote} known
   * @param {Quote} update
   */
  #isLate(known, update) {
    if (this.#unfenced.has(update.symbol) || known.source !== update.source) return false;
    const epoch = update.epoch ?? this.#epochs.get(update.source);
    if (epoch != null && known.epoch != null && epoch !== known.epoch) return epoch < known.epoch;
    // The same number again is the same value with, say, a new `stale`.
    return update.seq != null && known.seq != null && update.seq < known.seq;
  }

  /**
   * @param {string} source
   * @param {number} epoch
   */
  #newEpoch(source, epoch) {
    this.#epochs.set(source, epoch);
    for (const quote of this.quotes.values()) if (quote.source === source) this.#unfenced.add(quote.symbol);
  }

  /** Each subscription begins with a snapshot, so what a new connection says first is the truth. */
  #newConnection(/** @type {Record<string, any>} */ data) {
    this.#epochs = new Map(Object.entries(data?.epoch ?? {}));
    for (const symbol of this.quotes.keys()) this.#unfenced.add(symbol);
    this.streams.clear();
  }

  #addAccountEvent(/** @type {Record<string, any>} */ event) {
    this.accountEvents = [Object.freeze(event), ...this.accountEvents].slice(0, KEPT_ACCOUNT_EVENTS);
    this.#changes.account = true;
  }

  #removePortfolio(/** @type {number} */ id) {
    this.portfolios.delete(id);
    this.#changes.portfolios.add(id);
  }
}

/** @returns {Changes} */
function noChanges() {
  return {
    symbols: new Set(),
    portfolios: new Set(),
    feeds: new Set(),
    gaps: new Set(),
    streams: new Set(),
    account: false,
  };
}

/**
 * @param {ReadonlyArray<Record<string, any>>} known
 * @param {ReadonlyArray<Record<string, any>>} changed
 */
function mergePositions(known, changed) {
  const bySymbol = new Map(known.map((position) => [position.symbol, position]));
  for (const position of changed) bySymbol.set(position.symbol, position);
  return [...bySymbol.values()];
}
