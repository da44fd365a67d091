/**
 * Bars of one interval, each once by its start: what REST told of the past, and over it what the channel tells now.
 * Knows no DOM.
 */

/**
 * @typedef {Record<string, any> & {start: string, complete?: boolean}} Row  a bar as the server tells it
 * @typedef {{time: any, start: string, open: number, high: number, low: number, close: number, volume: number|null}} ChartBar
 */

export class BarSeries {
  /** @type {ReadonlyArray<ChartBar>} */ bars = []; // oldest first
  /** @type {Map<any, Row>} */ #taken = new Map(); // the live rows that are in it
  #isJoined = false;
  /** Whether live bars begin after the history ends: the last stored bar may then not be told to its end. */
  lacksTail = false;

  constructor(/** @type {"1m"|"1d"} */ interval) {
    this.interval = interval;
  }

  /**
   * @param {Row[]} rows  from REST, oldest first
   * @param {ReadonlyArray<Row>} live  from the channel, oldest first
   */
  setHistory(rows, live) {
    const known = new Map(rows.map((row) => [barTime(row.start, this.interval), row]));
    this.bars = [...known].map(([time, row]) => chartBar(time, row));
    this.#taken.clear();
    const end = this.bars.at(-1)?.time;
    // A live bar that was never told to its end and has others after it is older than what is stored.
    this.take(live.filter((row, i) => {
      const time = barTime(row.start, this.interval);
      return row.complete || !known.has(time) || (i === live.length - 1 && time >= end);
    }));
  }

  /**
   * Takes what the channel has told so far; rows that were taken before cost nothing.
   * @param {ReadonlyArray<Row>} live  oldest first
   * @returns {{changed: Array<{bar: ChartBar, isPast: boolean}>, redraw: boolean}} `redraw`: a bar came in between others
   */
  take(live) {
    const changed = [];
    let redraw = false;
    this.#join(live[0]);
    for (const row of live) {
      const time = barTime(row.start, this.interval);
      if (this.#taken.get(time) === row) continue;
      this.#taken.set(time, row);
      const bar = chartBar(time, row);
      const place = this.bars.findLastIndex((known) => known.time <= time);
      if (place < 0 && this.bars.length) continue; // from before what is shown
      const isKnown = this.bars[place]?.time === time;
      const isPast = place + 1 < this.bars.length;
      this.bars = this.bars.toSpliced(isKnown ? place : place + 1, isKnown ? 1 : 0, bar);
      redraw ||= isPast && !isKnown;
      changed.push({ bar, isPast });
    }
    return { changed, redraw };
  }

  /** @param {Row|undefined} first  of the live ones */
  #join(first) {
    const last = this.bars.at(-1);
    if (this.#isJoined || !first || !last) return;
    this.#isJoined = true;
    this.lacksTail = barTime(first.start, this.interval) > last.time;
  }
}

/**
 * A day by its date, a minute by its second; both count in UTC, as the server's bars do.
 * @param {string} iso
 * @param {"1m"|"1d"} interval
 * @returns {any}
 */
export function barTime(iso, interval) {
  if (interval === "1d") return new Date(iso).toISOString().slice(0, 10);
  return Math.floor(Date.parse(iso) / 60000) * 60;
}

/**
 * @param {any} time
 * @param {Row} row
 * @returns {ChartBar}
 */
function chartBar(time, { start, open, high, low, close, volume }) {
  return { time, start, open, high, low, close, volume: volume ?? null };
}
