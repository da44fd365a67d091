/** Frames as they pass, newest last: bounded, filtered by any text, and copied as they stand. */

import { el, part, setText } from "./dom.js";

const MOST = 2000;

/** @typedef {{at: Date, way: "in"|"out"|"note", text: string}} Entry */

export class FrameLog {
  /** @type {Entry[]} */ #entries = [];
  /** @type {Entry[]} */ #fresh = [];
  #planned = false;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} tools  holds filter, count, copy and clear
   */
  constructor(list, tools) {
    this.list = list;
    this.filter = part(tools, "filter");
    this.count = part(tools, "count");
    this.filter.addEventListener("input", () => this.#repaint());
    part(tools, "clear").addEventListener("click", () => this.clear());
    const copy = part(tools, "copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.text).catch(() => {});
      setText(copy, "Copied");
      setTimeout(() => setText(copy, "Copy"), 1500);
    });
  }

  get text() {
    return this.#shown.map(({ at, way, text }) => `${at.toISOString()} ${way} ${text}`).join("\n");
  }

  /**
   * @param {"in"|"out"|"note"} way
   * @param {string} text
   */
  add(way, text) {
    const entry = { at: new Date(), way, text };
    this.#entries.push(entry);
    this.#fresh.push(entry);
    if (this.#entries.length > MOST) this.#entries.shift();
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => this.#paint());
  }

  clear() {
    this.#entries = [];
    this.#repaint();
  }

  get #shown() {
    const wanted = this.filter.value.trim().toLowerCase();
    return wanted ? this.#entries.filter((entry) => matches(entry, wanted)) : this.#entries;
  }

  #paint() {
    this.#planned = false;
    const wanted = this.filter.value.trim().toLowerCase();
    const follows = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    this.list.append(...this.#fresh.filter((entry) => !wanted || matches(entry, wanted)).map(line));
    this.#fresh = [];
    while (this.list.childElementCount > MOST) this.list.firstElementChild?.remove();
    if (follows) this.list.scrollTop = this.list.scrollHeight;
    setText(this.count, this.#entries.length ? String(this.#entries.length) : "");
  }

  #repaint() {
    this.#fresh = [];
    this.list.replaceChildren(...this.#shown.map(line));
    this.list.scrollTop = this.list.scrollHeight;
    setText(this.count, this.#entries.length ? String(this.#entries.length) : "");
  }
}

/**
 * @param {Entry} entry
 * @param {string} wanted
 */
function matches({ way, text }, wanted) {
  return way === wanted || text.toLowerCase().includes(wanted);
}

function line(/** @type {Entry} */ { at, way, text }) {
  const arrow = { in: "←", out: "→", note: "·" }[way];
  const kind = text.startsWith('{"type":"error"') ? "error" : null;
  const clock = at.toISOString().slice(11, 23);
  return el("li", { "data-way": way, "data-kind": kind }, el("time", { text: clock }), el("span", { text: arrow }), el("span", { text }));
}
