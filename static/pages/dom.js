/** The few lines of DOM work that every page needs. Text only ever goes in as text. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]  `text` is the text; `on…` are listeners; null and false are left out
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** Writes only what changed, so that nothing unchanged is laid out again. */
export function setText(/** @type {Element|null} */ element, /** @type {string} */ text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element|null} element
 * @param {string} name
 * @param {string|null} value  null takes the attribute away
 */
export function setAttribute(element, name, value) {
  if (!element || element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/**
 * Green or red, never alone: the text beside it carries the sign.
 * @param {Element|null} element
 * @param {number|null|undefined} value
 */
export function setDirection(element, value) {
  element?.classList.toggle("up", (value ?? 0) > 0);
  element?.classList.toggle("down", (value ?? 0) < 0);
}

/** @returns {any} the element that a template names `data-view` */
export function view(/** @type {string} */ name) {
  return document.querySelector(`[data-view="${name}"]`);
}

/** @returns {any} the part that a template names `data-f` */
export function part(/** @type {ParentNode} */ root, /** @type {string} */ name) {
  return root.querySelector(`[data-f="${name}"]`);
}

const SVG = "http://www.w3.org/2000/svg";

/** @returns {SVGElement} */
export function svg(/** @type {string} */ tag, /** @type {Record<string, string>} */ attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return /** @type {SVGElement} */ (element);
}

/** Remembers small choices; storage that is switched off only forgets them. */
export const memory = {
  get(/** @type {string} */ key) {
    try {
      return localStorage.getItem(`livefolio.${key}`);
    } catch {
      return null;
    }
  },
  set(/** @type {string} */ key, /** @type {string} */ value) {
    try {
      localStorage.setItem(`livefolio.${key}`, value);
    } catch {
      // forgotten with the page
    }
  },
};
