/**
 * One light for two questions: is the socket open, and do the sources behind it deliver. Its word changes once a
 * transition, so that a screen reader hears it once; the countdown beside it is for the eye only.
 */

import { part, setAttribute, setText } from "./dom.js";
import { moment } from "./format.js";

/** @typedef {import("../realtime/client.js").RealtimeClient} RealtimeClient */

const DELIVERING = new Set(["live", "connecting", "standby"]);

/**
 * What a person should know about the sources that a page shows.
 * @param {Iterable<import("../realtime/store.js").Feed>} feeds
 * @param {(source: string) => boolean} matters
 */
export function troubledFeeds(feeds, matters) {
  return [...feeds].filter(({ source, state }) => matters(source) && !DELIVERING.has(state));
}

/** "simulator down since 14:03:22": the same words in the light, the note and the list of sources. */
export function feedText(/** @type {import("../realtime/store.js").Feed} */ { source, state, since }) {
  return since ? `${source} ${state} since ${moment(since)}` : `${source} ${state}`;
}

/** "NSE open, MCX closed": the phases of a source's markets, where it tells any. */
export function marketText(/** @type {import("../realtime/store.js").Feed} */ { markets }) {
  return Object.entries(markets ?? {}).map(([market, phase]) => `${market} ${phase.replaceAll("_", "-")}`).join(", ");
}

export class ConnectionLight {
  #stale = false;
  #latency = "";
  #markets = "";
  /** @type {any} */ #last = { state: "idle", attempt: 0, code: null, reason: "" };
  /** @type {import("../realtime/store.js").Feed[]} */ #troubles = [];

  /**
   * @param {HTMLElement} root
   * @param {RealtimeClient} client
   */
  constructor(root, client) {
    this.root = root;
    this.client = client;
    client.on("state", (change) => {
      this.#last = change;
      if (change.state === "connected") void client.ping();
      this.#paint();
    });
    client.on("stale", ({ stale }) => {
      this.#stale = stale;
      this.#paint();
    });
    client.on("latency", ({ rtt }) => {
      this.#latency = `${Math.round(rtt)} ms`;
      this.#paint();
    });
    for (const event of ["online", "offline"]) addEventListener(event, () => this.#paint());
    setInterval(() => this.#paintDetail(), 500);
    root.addEventListener("click", () => client.retryNow());
  }

  /** Feeds that matter to this page and don't deliver. */
  setTroubles(/** @type {import("../realtime/store.js").Feed[]} */ troubles) {
    this.#troubles = troubles;
    this.#paint();
  }

  /** Phases of the markets behind the page, for the tooltip. */
  setMarkets(/** @type {string} */ markets) {
    this.#markets = markets;
    this.#paintDetail();
  }

  /** @returns {[string, string]} the state by which it is coloured, and its word */
  #reading() {
    const { state } = this.#last;
    if (state === "closed") return ["closed", "Closed"];
    if (state === "reconnecting") {
      return navigator.onLine === false ? ["offline", "Offline"] : ["reconnecting", "Reconnecting"];
    }
    if (state !== "connected") return ["connecting", "Connecting…"];
    if (this.#stale) return ["stale", "Stale"];
    if (this.#troubles.length) return ["stale", `Feed ${this.#troubles[0].state}`];
    return ["connected", "Connected"];
  }

  #paint() {
    const [state, word] = this.#reading();
    setAttribute(this.root, "data-state", state);
    setText(part(this.root, "word"), word);
    this.#paintDetail();
  }

  #paintDetail() {
    const detail = part(this.root, "detail");
    const text = this.#detail();
    setText(detail, text);
    detail.classList.toggle("latency", text !== "" && text === this.#latency);
    setAttribute(this.root, "title", this.#title());
  }

  #detail() {
    const { attempt } = this.#last;
    switch (this.root.dataset.state) {
      case "connected":
        return this.#latency;
      case "reconnecting": {
        const { retryAt } = this.client;
        const wait = retryAt === null ? 0 : Math.ceil((retryAt - Date.now()) / 1000);
        return wait > 0 ? `in ${wait} s · try ${attempt}` : `now · try ${attempt}`;
      }
      case "stale":
        if (this.#stale) return "nothing heard for a while";
        return this.#troubles[0].since ? `since ${moment(this.#troubles[0].since)}` : "";
      default:
        return "";
    }
  }

  #title() {
    if (this.#last.state !== "connected") return this.#last.reason ?? "";
    const troubles = this.#troubles.map((feed) => [feedText(feed), feed.reason].filter(Boolean).join(": "));
    return [...troubles, this.#markets].filter(Boolean).join("\n");
  }
}
