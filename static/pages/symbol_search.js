/** Finds a symbol by a few letters: a combobox whose list comes from the server. Enter takes what was typed, too. */

import { all, api } from "./api.js";
import { el, setAttribute } from "./dom.js";
import { price } from "./format.js";

const PAUSE = 140; // milliseconds of no typing before the server is asked

export class SymbolSearch {
  /** @type {any[]} */ #found = [];
  #active = -1;
  /** @type {AbortController|null} */ #request = null;
  /** @type {any} */ #timer = null;

  /**
   * @param {HTMLFormElement} form
   * @param {{onPick: (symbol: string) => void, has: (symbol: string) => boolean}} handlers
   */
  constructor(form, { onPick, has }) {
    this.onPick = onPick;
    this.has = has;
    this.input = /** @type {HTMLInputElement} */ (form.querySelector("input"));
    this.list = /** @type {HTMLUListElement} */ (form.querySelector("ul"));
    this.input.addEventListener("input", () => this.#later());
    this.input.addEventListener("focus", () => this.#later());
    this.input.addEventListener("blur", () => this.#close());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("pointerdown", (event) => this.#point(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take();
    });
    document.addEventListener("keydown", (event) => this.#shortcut(event));
  }

  focus() {
    this.input.focus();
  }

  #shortcut(/** @type {KeyboardEvent} */ event) {
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.focus();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const text = this.input.value.trim();
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    try {
      const answer = await api(`/api/assets/?page_size=8&search=${encodeURIComponent(text)}`, { signal: request.signal });
      if (document.activeElement === this.input) this.#show(answer.results);
    } catch {
      // An answer that never came shows no list; Enter still works. A later question is none of this one's business.
      if (request === this.#request) this.#close();
    }
  }

  #show(/** @type {any[]} */ found) {
    this.#found = found;
    this.list.replaceChildren(...found.map((asset, i) => this.#option(asset, i)));
    if (!found.length) {
      this.list.append(el("li", { role: "option", "aria-disabled": "true", text: "No symbol or name like that" }));
    }
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#activate(found.length && this.input.value.trim() ? 0 : -1);
  }

  #option(/** @type {any} */ asset, /** @type {number} */ index) {
    const title = el("span", { class: "symbol-cell" }, el("strong", { text: asset.symbol }), el("small", { text: asset.name }));
    const right = this.has(asset.symbol) ? "watched" : priceText(asset);
    return el("li", { role: "option", id: `search-${index}`, "data-index": index, "aria-selected": "false" }, title, el("span", { text: right }));
  }

  #activate(/** @type {number} */ index) {
    this.#active = index;
    [...this.list.children].forEach((item, i) => setAttribute(item, "aria-selected", String(i === index)));
    setAttribute(this.input, "aria-activedescendant", index < 0 ? null : `search-${index}`);
    if (index >= 0) this.list.children[index].scrollIntoView({ block: "nearest" });
  }

  #key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.#found.length) {
      event.preventDefault();
      if (this.list.hidden) return this.#show(this.#found);
      this.#activate((this.#active + step + this.#found.length) % this.#found.length);
    } else if (event.key === "Escape") {
      if (this.list.hidden) this.input.blur();
      this.#close();
    }
  }

  #point(/** @type {PointerEvent} */ event) {
    event.preventDefault(); // the input keeps the focus
    const item = event.target instanceof Element ? event.target.closest("[data-index]") : null;
    if (item) this.#pick(this.#found[Number(item.getAttribute("data-index"))].symbol);
  }

  #take() {
    const typed = this.input.value.trim().toUpperCase();
    const exact = this.#found.find(({ symbol }) => symbol === typed);
    const active = this.list.hidden ? undefined : this.#found[this.#active];
    const symbol = (active ?? exact)?.symbol ?? typed;
    if (symbol) this.#pick(symbol);
  }

  #pick(/** @type {string} */ symbol) {
    this.input.value = "";
    this.#close();
    this.onPick(symbol);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#found = [];
    this.#active = -1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}

function priceText(/** @type {any} */ { quote, price: stored }) {
  const known = quote?.price ?? stored;
  return known == null ? "no price yet" : price(known);
}

/** Fills a <datalist> of all symbols, for forms that take one. */
export async function fillSymbols(/** @type {HTMLElement} */ datalist) {
  const assets = await all("/api/assets/", { pages: 1 });
  datalist.replaceChildren(...assets.map(({ symbol, name }) => el("option", { value: symbol, text: name })));
}
