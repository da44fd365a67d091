/** A firing as a few words in the corner of whatever page is open; it goes by itself, unless somebody is reading it. */

import { firedWords } from "./alert_words.js";
import { el } from "./dom.js";
import { price } from "./format.js";

const SHOWN = 15000; // milliseconds
const MOST = 4;

export class AlertToasts {
  /** @type {Set<number>} */ #seen = new Set(); // a firing may be told twice
  #list = el("ol", { class: "toasts", role: "status", "aria-label": "Alerts" });

  /**
   * @param {import("../realtime/client.js").RealtimeClient} client
   */
  constructor(client) {
    document.body.append(this.#list);
    client.on("alert", (firing) => this.#show(firing));
  }

  #show(/** @type {any} */ firing) {
    if (this.#seen.has(firing.firing_id)) return;
    this.#seen.add(firing.firing_id);
    const close = el("button", { class: "icon-button", type: "button", "aria-label": `Dismiss ${firing.symbol}`, text: "✕" });
    const link = el("a", { href: "/alerts/" }, el("strong", { text: `${firing.symbol} ${price(firing.price)}` }), el("span", { text: firedWords(firing) }));
    const toast = el("li", { class: "toast", "data-alert": firing.alert_id }, link, close);
    close.addEventListener("click", () => toast.remove());
    this.#list.querySelector(`[data-alert="${Number(firing.alert_id)}"]`)?.remove(); // of one that fires often only the newest
    this.#list.append(toast);
    while (this.#list.children.length > MOST) this.#list.firstElementChild?.remove();
    this.#forgetLater(toast);
  }

  #forgetLater(/** @type {HTMLElement} */ toast) {
    setTimeout(() => (toast.matches(":hover, :focus-within") ? this.#forgetLater(toast) : toast.remove()), SHOWN);
  }
}
