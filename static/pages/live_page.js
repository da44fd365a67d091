/**
 * What every live page shares: one batched socket, one store, the connection light, the notes, the alerts that fire, and
 * one painting a frame. While a page is hidden nothing is painted and only the newest values wait.
 */

import { RealtimeClient } from "../realtime/client.js";
import { Store } from "../realtime/store.js";
import { AlertToasts } from "./alert_toasts.js";
import { ApiError, api, onSignedOut } from "./api.js";
import { ConnectionLight, feedText, marketText, troubledFeeds } from "./connection_light.js";
import { part, view } from "./dom.js";
import { Notes } from "./notes.js";

const GAP_SHOWN = 12000; // milliseconds
const SESSION_GONE = new Set([4500, 4504]);
const CLOSE_REASONS = /** @type {Record<number, string>} */ ({
  4501: "This page is not allowed to connect.",
  4502: "The connection was closed after too many errors.",
  4503: "You have as many connections open as are allowed. Close another page, then connect again.",
});

export class LivePage {
  store = new Store();
  client = new RealtimeClient({ batch: true, mayRetry: sessionLives });
  notes = new Notes(view("notes"));
  light = new ConnectionLight(view("light"), this.client);
  toasts = new AlertToasts(this.client);
  #framePlanned = false;
  /** @type {any} */ #gapTimer = null;

  /**
   * @param {{
   *   paint: (changes: import("../realtime/store.js").Changes) => void,
   *   feedMatters: (source: string) => boolean,
   *   onReconnect?: () => void,
   * }} handlers
   */
  constructor({ paint, feedMatters, onReconnect }) {
    this.paint = paint;
    this.feedMatters = feedMatters;
    this.onReconnect = onReconnect;
    this.client.on("message", (envelope) => this.store.apply(envelope));
    this.client.on("state", (change) => this.#onState(change));
    this.store.onChange(() => this.#planFrame());
    this.store.streams.onHole((symbol) => this.client.refreshAsset(symbol));
    onSignedOut(() => this.#signOut());
    addEventListener("pagehide", () => this.client.close());
    addEventListener("pageshow", (event) => event.persisted && this.client.connect());
  }

  /** Sources that matter and don't deliver stand in the light and in a note. */
  showFeeds() {
    const troubles = troubledFeeds(this.store.feeds.values(), this.feedMatters);
    this.light.setTroubles(troubles);
    this.light.setMarkets([...this.store.feeds.values()].map(marketText).filter(Boolean).join("\n"));
    if (!troubles.length || this.client.state !== "connected") return this.notes.hide("feed");
    const text = troubles.map((feed) => `Feed ${feedText(feed)}.`).join(" ");
    this.notes.show("feed", `${text} Its prices stand still until it is back.`);
  }

  #planFrame() {
    if (this.#framePlanned) return;
    this.#framePlanned = true;
    requestAnimationFrame(() => {
      this.#framePlanned = false;
      const changes = this.store.takeChanges();
      if (changes.feeds.size) this.showFeeds();
      for (const source of changes.gaps) this.#showGap(source);
      this.paint(changes);
    });
  }

  /** A gap too short for the light to turn is said all the same. */
  #showGap(/** @type {string} */ source) {
    if (!this.feedMatters(source) || this.store.feeds.get(source)?.state !== "live") return;
    this.notes.show("gap", `Feed ${source} resumed after a gap. Every price was fetched anew.`);
    clearTimeout(this.#gapTimer);
    this.#gapTimer = setTimeout(() => this.notes.hide("gap"), GAP_SHOWN);
  }

  /** @param {import("../realtime/client.js").StateChange} change */
  #onState({ state, previous, code }) {
    document.body.classList.toggle("dimmed", state === "reconnecting" || state === "closed");
    this.showFeeds();
    if (state === "connected" && previous === "reconnecting") this.onReconnect?.();
    if (state !== "closed") return this.notes.hide("closed");
    if (code !== null && SESSION_GONE.has(code)) return this.#signOut();
    if (code === 1000) return;
    const reason = CLOSE_REASONS[code ?? 0] ?? `The server closed the connection (${code}).`;
    this.notes.show("closed", reason, { bad: true, action: "Connect again", onAction: () => this.client.connect() });
  }

  #signOut() {
    this.client.close();
    const box = view("signed-out");
    if (!box.hidden) return;
    const link = part(box, "sign-in");
    link.href = `/accounts/login/?next=${encodeURIComponent(location.pathname)}`;
    box.hidden = false;
    link.focus();
  }
}

/** A browser hides why a handshake was refused; REST says whether it was the session. */
async function sessionLives() {
  try {
    await api("/api/watchlist/?page_size=1");
    return true;
  } catch (error) {
    return !(error instanceof ApiError && error.isSignedOut);
  }
}
