/** Lines above the content that say what is wrong and offer a way out. One line a key. */

import { el } from "./dom.js";

export class Notes {
  /** @type {Map<string, HTMLElement>} */ #lines = new Map();

  constructor(/** @type {HTMLElement} */ root) {
    this.root = root;
  }

  /**
   * @param {string} key
   * @param {string} text
   * @param {{bad?: boolean, action?: string, onAction?: () => void}} [options]
   */
  show(key, text, { bad = false, action, onAction } = {}) {
    const line = el("div", { class: bad ? "note note-bad" : "note", role: "status", "data-note": key }, el("span", { text }));
    if (action) line.append(el("button", { class: "button button-small", type: "button", text: action, onclick: onAction }));
    const old = this.#lines.get(key);
    if (old?.textContent === line.textContent) return;
    old ? old.replaceWith(line) : this.root.append(line);
    this.#lines.set(key, line);
  }

  hide(/** @type {string} */ key) {
    this.#lines.get(key)?.remove();
    this.#lines.delete(key);
  }
}
