/** Shares as a donut shows them: the largest few, and all others as one. Knows no DOM. */

/**
 * @typedef {{key: string, label: string, value: number, share_percent: number|null}} Share
 * @typedef {Share & {arc: number, start: number, count: number}} Slice  arc and start in hundredths of the circle;
 *   what is owed has no arc
 */

export const MOST = 8;
const OTHER = "other:";

/**
 * @param {Share[]} shares  largest first
 * @returns {Slice[]} as many as there are rows in the table beside
 */
export function slicesOf(shares) {
  const owned = shares.filter(({ value }) => value > 0);
  const owed = shares.filter(({ value }) => value < 0);
  const few = owned.length > MOST ? [...owned.slice(0, MOST - 1), together(owned.slice(MOST - 1))] : owned.map(alone);
  const whole = owned.reduce((sum, { value }) => sum + value, 0);
  let start = 0;
  const drawn = few.map((share) => {
    const arc = (100 * share.value) / whole;
    const slice = { ...share, count: /** @type {any} */ (share).count ?? 1, arc, start };
    start += arc;
    return slice;
  });
  return [...drawn, ...owed.map((share) => ({ ...alone(share), arc: 0, start: 100 }))];
}

function alone(/** @type {Share} */ share) {
  return { ...share, count: 1 };
}

function together(/** @type {Share[]} */ shares) {
  const sum = (/** @type {(share: Share) => number} */ of) => Math.round(100 * shares.reduce((total, share) => total + of(share), 0)) / 100;
  const isKnown = shares.every(({ share_percent: percent }) => percent !== null);
  return {
    key: OTHER,
    label: `Other (${shares.length})`,
    value: sum(({ value }) => value),
    share_percent: isKnown ? sum(({ share_percent: percent }) => percent ?? 0) : null,
    count: shares.length,
  };
}
