/** A short wash of colour behind a cell whose number just moved. Never more than three a second in one cell. */

const GAP = 350; // milliseconds; WCAG 2.3.1 allows three flashes a second
const LENGTH = 700;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
/** @type {WeakMap<Element, number>} */
const lastAt = new WeakMap();

/**
 * @param {HTMLElement} element
 * @param {number} direction  above zero is up
 */
export function flash(element, direction) {
  if (!direction || calm.matches || document.hidden) return;
  const now = performance.now();
  if (now - (lastAt.get(element) ?? -GAP) < GAP) return;
  lastAt.set(element, now);
  for (const running of element.getAnimations()) running.cancel();
  const wash = direction > 0 ? "var(--flash-up)" : "var(--flash-down)";
  element.animate([{ backgroundColor: wash }, { backgroundColor: "transparent" }], { duration: LENGTH, easing: "ease-out" });
}
