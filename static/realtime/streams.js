/**
 * What the channels of subscribed assets said: the last trades, the order book, bars and notices of each. A book is a
 * snapshot and the changes after it, each of which names the number of the one before, so that a hole is noticed.
 */

/**
 * @typedef {number|string} Figure
 * @typedef {[Figure, Figure]} Level  price and quantity
 * @typedef {Readonly<{symbol: string, bids: Level[], asks: Level[], seq: number, epoch: number, as_of: string|null,
 *   source?: string}>} Book  levels best first
 * @typedef {Record<string, any> & {symbol: string, number: number, epoch: number}} Trade
 * @typedef {Record<string, any> & {symbol: string, interval: string, start: string}} Bar
 */

export const KEPT_TRADES = 50;
const KEPT_NOTICES = 50;
const KEPT_BARS = 1000; // of one interval: more than a session of minutes

export class Streams {
  /** @type {Map<string, Trade[]>} */ trades = new Map(); // oldest first
  /** @type {Map<string, Book>} */ books = new Map();
  /** @type {Map<string, Bar[]>} */ #bars = new Map(); // by symbol and interval, oldest first
  /** @type {Map<string, Array<Record<string, any>>>} */ notices = new Map();
  /** @type {Set<(symbol: string) => void>} */ #holeListeners = new Set();

  /**
   * Called with the symbol of a book that missed a change; it is gone until the next snapshot, which whoever listens
   * asks for.
   * @param {(symbol: string) => void} fn
   * @returns {() => void} ends the listening
   */
  onHole(fn) {
    this.#holeListeners.add(fn);
    return () => void this.#holeListeners.delete(fn);
  }

  /**
   * @param {{type: string, data: any}} envelope
   * @returns {string[]|null} the symbols that it is about; null for a type that is none of a channel's
   */
  apply({ type, data }) {
    if (type === "trades") {
      for (const trade of data) this.#addTrade(trade);
      return data.map((/** @type {Trade} */ trade) => trade.symbol);
    }
    if (type === "trade") this.#addTrade(data);
    else if (type === "book_snapshot") this.books.set(data.symbol, Object.freeze({ ...data }));
    else if (type === "book_update") this.#changeBook(data);
    else if (type === "bar") this.#addBar(data);
    else if (type === "market_notice") append(this.notices, data.symbol, data, KEPT_NOTICES);
    else return null;
    return [data.symbol];
  }

  /** Each subscription begins anew on a new connection. */
  clear() {
    this.trades.clear();
    this.books.clear();
    this.#bars.clear();
    this.notices.clear();
  }

  /** What is no longer subscribed to would stand there old when it is again. */
  forget(/** @type {string} */ symbol) {
    for (const lists of [this.trades, this.books, this.notices]) lists.delete(symbol);
    for (const interval of ["1m", "1d"]) this.#bars.delete(`${symbol} ${interval}`);
  }

  /**
   * @param {string} symbol
   * @param {string} [interval]
   * @returns {ReadonlyArray<Bar>} oldest first
   */
  bars(symbol, interval = "1m") {
    return this.#bars.get(`${symbol} ${interval}`) ?? [];
  }

  #addTrade(/** @type {Trade} */ trade) {
    const last = this.trades.get(trade.symbol)?.at(-1);
    const isKnown = last?.source === trade.source && last?.epoch === trade.epoch && trade.number <= last.number;
    if (!isKnown) append(this.trades, trade.symbol, trade, KEPT_TRADES);
  }

  #addBar(/** @type {Bar} */ bar) {
    const key = `${bar.symbol} ${bar.interval}`;
    const others = (this.#bars.get(key) ?? []).filter((known) => known.start !== bar.start);
    const place = others.findLastIndex((known) => known.start < bar.start) + 1;
    this.#bars.set(key, others.toSpliced(place, 0, Object.freeze(bar)).slice(-KEPT_BARS));
  }

  /** @param {{symbol: string, changes: Array<["bid"|"ask", Figure, Figure]>, previous_seq: number} & Record<string, any>} update */
  #changeBook({ symbol, changes, previous_seq, ...rest }) {
    const book = this.books.get(symbol);
    if (!book) return; // a snapshot is on its way
    if (book.seq !== previous_seq || book.epoch !== rest.epoch) {
      this.books.delete(symbol);
      for (const fn of this.#holeListeners) fn(symbol);
      return;
    }
    const sides = { bid: byPrice(book.bids), ask: byPrice(book.asks) };
    for (const [side, price, quantity] of changes) {
      if (Number(quantity) === 0) sides[side].delete(Number(price));
      else sides[side].set(Number(price), [price, quantity]);
    }
    const bids = [...sides.bid].sort(([one], [other]) => other - one).map(([, level]) => level);
    const asks = [...sides.ask].sort(([one], [other]) => one - other).map(([, level]) => level);
    this.books.set(symbol, Object.freeze({ ...book, ...rest, bids, asks }));
  }
}

/**
 * @param {Level[]} levels
 * @returns {Map<number, Level>}
 */
function byPrice(levels) {
  return new Map(levels.map((level) => [Number(level[0]), level]));
}

/**
 * @template T
 * @param {Map<string, T[]>} lists
 * @param {string} key
 * @param {T} item
 * @param {number} kept
 */
function append(lists, key, item, kept) {
  lists.set(key, [...(lists.get(key) ?? []).slice(1 - kept), Object.freeze(item)]);
}
