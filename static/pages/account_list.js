/** Orders, fills, positions and balances of the account behind a source's key; hidden while nothing has happened. */

import { accountDetails, accountTitle, together } from "./account_words.js";
import { api } from "./api.js";
import { el, part } from "./dom.js";
import { dayTime, moment } from "./format.js";

/** @typedef {import("./account_words.js").AccountEvent} AccountEvent */

const SHOWN = 30;

export class AccountList {
  /** @type {AccountEvent[]} */ #stored = [];
  /** @type {Set<string>} */ #asked = new Set();

  /**
   * @param {HTMLElement} root
   * @param {import("../realtime/store.js").Store} store
   */
  constructor(root, store) {
    this.root = root;
    this.store = store;
  }

  /** Reads what there was before; of each source once, unless anew. */
  async load(isAnew = false) {
    if (isAnew) this.#asked.clear();
    const sources = [...this.store.feeds.keys()].filter((source) => !this.#asked.has(source));
    for (const source of sources) this.#asked.add(source);
    const lists = await Promise.all(sources.map((source) => api(`/api/account-events/?source=${encodeURIComponent(source)}`).catch(() => [])));
    this.#stored = [...this.#stored.filter(({ source }) => !sources.includes(source)), ...lists.flat()];
    this.paint();
  }

  paint() {
    const events = together(/** @type {any} */ (this.store.accountEvents), this.#stored).slice(0, SHOWN);
    this.root.hidden = !events.length;
    if (events.length) part(this.root, "rows").replaceChildren(...events.map(line));
  }
}

function line(/** @type {AccountEvent} */ event) {
  return el(
    "li",
    { title: accountDetails(event, Infinity), "data-kind": event.kind },
    el("time", { datetime: event.as_of, title: dayTime(event.as_of), text: moment(event.as_of) }),
    el("strong", { text: accountTitle(event) }),
    el("span", { class: "soft", text: accountDetails(event) }),
    el("small", { class: "soft", text: event.source }),
  );
}
