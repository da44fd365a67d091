import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { BarSeries, barTime } from "../../static/pages/bar_series.js";

const at = (minute, second = "00") => `2026-11-20T14:${String(minute).padStart(2, "0")}:${second}.000000Z`;
const row = (minute, close, more = {}) => ({ start: at(minute), open: 1, high: 9, low: 1, close, volume: 2, ...more });
const closes = (series) => series.bars.map(({ close }) => close);

function seriesOf(rows, live = []) {
  const series = new BarSeries("1m");
  series.setHistory(rows, live);
  return series;
}

describe("history and channel", () => {
  test("meet at the open bar without overlap or hole", () => {
    const series = seriesOf([row(30, 1), row(31, 2)], [row(31, 3)]);
    assert.deepEqual(closes(series), [1, 3]);
    assert.deepEqual(series.take([row(31, 4, { complete: true }), row(32, 5)]).changed.map(({ isPast }) => isPast), [false, false]);
    assert.deepEqual(closes(series), [1, 4, 5]);
    assert.equal(series.lacksTail, false);
  });

  test("the channel's bars are there before the history is", () => {
    const live = [row(31, 4, { complete: true }), row(32, 5)];
    assert.deepEqual(closes(seriesOf([row(30, 1), row(31, 2)], live)), [1, 4, 5]);
  });

  test("a bar that the channel never told to its end gives way to the stored one", () => {
    assert.deepEqual(closes(seriesOf([row(30, 7), row(31, 2)], [row(30, 1), row(31, 3)])), [7, 3]);
    assert.deepEqual(closes(seriesOf([row(30, 7), row(31, 2)], [row(30, 1)])), [7, 2]);
  });

  test("a channel that begins after the history ended leaves the end of the last stored bar to be read", () => {
    const series = seriesOf([row(30, 1)]);
    series.take([row(31, 2)]);
    assert.equal(series.lacksTail, true);
    assert.equal(seriesOf([row(30, 1)], [row(31, 2)]).lacksTail, true);
  });

  test("an asset without history begins with what the channel says", () => {
    const series = seriesOf([]);
    series.take([row(31, 2)]);
    assert.deepEqual(closes(series), [2]);
    assert.equal(series.lacksTail, false);
  });
});

describe("a change", () => {
  test("that was taken is not drawn again", () => {
    const live = [row(31, 3)];
    const series = seriesOf([row(31, 2)], live);
    assert.deepEqual(series.take(live), { changed: [], redraw: false });
  });

  test("of a bar that had been complete is drawn in its place", () => {
    const series = seriesOf([row(30, 1), row(31, 2)]);
    const { changed, redraw } = series.take([row(30, 8, { complete: true, revised: true })]);
    assert.deepEqual(closes(series), [8, 2]);
    assert.deepEqual([changed[0].isPast, redraw], [true, false]);
  });

  test("that puts a bar between others needs all of them drawn", () => {
    const series = seriesOf([row(30, 1), row(33, 2)]);
    assert.equal(series.take([row(31, 8, { complete: true, revised: true })]).redraw, true);
    assert.deepEqual(closes(series), [1, 8, 2]);
  });

  test("from before what is shown is left out", () => {
    const series = seriesOf([row(30, 1)]);
    assert.deepEqual(series.take([row(10, 8, { complete: true })]).changed, []);
    assert.deepEqual(closes(series), [1]);
  });
});

test("a day is known by its date and a minute by its second", () => {
  assert.equal(barTime("2026-11-20T14:30:00.000000Z", "1d"), "2026-11-20");
  assert.equal(barTime(at(30, "59"), "1m"), Date.parse(at(30)) / 1000);
});
