import assert from "node:assert/strict";
import { test } from "node:test";

import { dateIn, pointsOf, summaryOf } from "../../static/pages/history.js";

const day = (date, value, complete = true) => ({ date: `2026-11-${date}`, value, inflow: 0, outflow: 0, complete });

test("a day that is not wholly known is a gap that no line crosses", () => {
  const points = pointsOf([day("01", 1), day("02", 2), day("03", 3, false), day("04", null, false), day("05", 5), day("06", 6)]);
  assert.deepEqual(points, [
    { time: "2026-11-01", value: 1 },
    { time: "2026-11-02", value: 2, ends: true },
    { time: "2026-11-03" },
    { time: "2026-11-04" },
    { time: "2026-11-05", value: 5 },
    { time: "2026-11-06", value: 6 },
  ]);
});

test("a day between two gaps stands alone", () => {
  const points = pointsOf([day("01", null, false), day("02", 2), day("03", null, false), day("04", 4)]);
  assert.deepEqual(points.map(({ lone = false }) => lone), [false, true, false, true]);
});

test("the chart is told in words, gaps included", () => {
  const text = summaryOf([day("01", 100), day("02", null, false), day("03", 90), day("04", 110)], "USD");
  assert.match(text, /100\.00.*110\.00.*between.*90\.00.*1 day is incomplete/);
  assert.equal(summaryOf([day("01", null, false)], "USD"), "No day with a known value yet");
});

test("a day is named by the portfolio's clock", () => {
  const moment = new Date("2026-11-20T23:30:00Z");
  assert.equal(dateIn("UTC", moment), "2026-11-20");
  assert.equal(dateIn("Asia/Tokyo", moment), "2026-11-21");
  assert.equal(dateIn("America/New_York", moment), "2026-11-20");
});
