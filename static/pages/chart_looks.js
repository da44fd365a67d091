/** How charts look: the style sheet's colours, resolved for the theme in force, and times in the reader's own zone. */

import { dayTime } from "./format.js";

/**
 * A colour of the sheet as a canvas needs it.
 * @param {HTMLElement} root
 * @param {string} name
 */
export function tone(root, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  root.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @returns {any} */
export function chartLayout() {
  return {
    autoSize: true,
    // The logo needs an inline style, which the Content-Security-Policy forbids; the footer gives the credit.
    layout: { attributionLogo: false, background: { color: "transparent" }, fontFamily: "Geist, system-ui, sans-serif", fontSize: 11 },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.2 } },
    timeScale: {
      borderVisible: false,
      rightOffset: 1,
      minBarSpacing: 0.5,
      tickMarkFormatter: (/** @type {any} */ time) => (typeof time === "number" ? localTick(time) : null),
    },
    localization: { timeFormatter: (/** @type {any} */ time) => (typeof time === "number" ? dayTime(new Date(time * 1000).toISOString()) : String(time)) },
    handleScroll: { vertTouchDrag: false },
    crosshair: { mode: 0 },
  };
}

/** @returns {any} options that go with the theme */
export function chartColours(/** @type {HTMLElement} */ root) {
  const [soft, grid, line, ink] = ["soft", "grid", "line-strong", "ink"].map((name) => tone(root, name));
  return {
    layout: { textColor: soft },
    grid: { vertLines: { color: "transparent" }, horzLines: { color: grid } },
    crosshair: { vertLine: { color: line, labelBackgroundColor: ink }, horzLine: { color: line, labelBackgroundColor: ink } },
  };
}

const tickTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const tickDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** Minutes are marked in the reader's own time; the library itself only knows UTC. */
function localTick(/** @type {number} */ seconds) {
  const date = new Date(seconds * 1000);
  return date.getHours() === 0 && date.getMinutes() === 0 ? tickDay.format(date) : tickTime.format(date);
}
