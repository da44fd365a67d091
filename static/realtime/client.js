/**
 * One socket to /ws/realtime/, kept open. Owns the connection, the back-off and the wanted subscriptions, which are
 * state and not messages: they are asked for again after every `connection` frame, so callers may subscribe at any
 * time, even before connect(). Knows no DOM and keeps no prices (store.js does). Runs in browsers and in Node.
 */

/**
 * @typedef {'idle'|'connecting'|'connected'|'reconnecting'|'closed'} ConnectionState
 * @typedef {{type: string, data: any, timestamp: string, id?: string, frame?: number}} Envelope
 *
 * @typedef {'trades'|'book'|'bars'|'notices'} Channel
 * @typedef {{mode?: string, channels?: Channel[]}} Wish  what is wanted of a symbol
 *
 * @typedef {object} StateChange
 * @property {ConnectionState} state
 * @property {ConnectionState} previous
 * @property {string} reason      why, in words
 * @property {number|null} code   the close code, where a close caused it
 * @property {number} attempt     how many attempts since data last flowed
 * @property {number|null} retryAt  when the next attempt starts, by the clock's now(); null: none is planned
 *
 * @typedef {object} Clock
 * @property {() => number} now  milliseconds; only differences matter
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 *
 * @typedef {object} Options
 * @property {string} [url]         absolute, or a path on this origin; default: /ws/realtime/ of this origin
 * @property {boolean} [batch]      one `asset_updates` frame a flush instead of one frame a symbol
 * @property {boolean} [acks]       confirm data frames, so that a slow reader gets the newest value, not a backlog
 * @property {number} [maxRate]     at most so many flushes a second
 * @property {'string'} [numbers]   decimals as strings
 * @property {number} [minDelay]    first ceiling of the back-off in milliseconds (500)
 * @property {number} [maxDelay]    last ceiling of the back-off in milliseconds (30 000)
 * @property {number} [connectTimeout]  from the attempt to its `connection` frame in milliseconds (10 000)
 * @property {() => Promise<boolean>} [mayRetry]  asked after a refused handshake, whose reason a browser hides;
 *   false means that the session is gone and ends the attempts with code 4500
 * @property {typeof WebSocket} [WebSocket]
 * @property {Clock} [clock]
 * @property {() => number} [random]
 * @property {EventTarget & {document?: any, navigator?: any}} [host]  where online, offline and visibilitychange
 *   come from; default: the window
 * @property {Pick<Console, 'error'>} [logger]
 */

const SYMBOLS_A_MESSAGE = 200; // 200 symbols of 64 characters stay far below the server's 64 KiB
const PROBE_TIMEOUT = 3000; // how long a doubted connection may take to answer a ping
const OPEN = 1;

// Refusals that asking again will not change. All others (rate_limited, service_degraded …) pass.
const LASTING_REFUSALS = new Set([
  "invalid_symbol",
  "unknown_symbol",
  "unsupported_mode",
  "portfolio_not_found",
  "auth_required",
  "subscription_limit",
  "invalid_message",
  "unknown_type",
]);
const DATA_TYPES = new Set([
  "asset_update",
  "asset_updates",
  "portfolio_update",
  "trade",
  "trades",
  "book_snapshot",
  "book_update",
  "bar",
  "market_notice",
  "heartbeat",
  "pong",
]);

/** @type {Clock} */
const SYSTEM_CLOCK = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/**
 * Full jitter: anywhere between nothing and a ceiling that doubles.
 * @param {number} attempt  counted from 0
 * @param {() => number} random
 * @param {number} minDelay
 * @param {number} maxDelay
 */
export function backoff(attempt, random, minDelay = 500, maxDelay = 30000) {
  return random() * Math.min(maxDelay, minDelay * 2 ** Math.min(attempt, 30));
}

/**
 * 4000-4499 and the standard codes mean that trying again helps; 4500-4999 mean that it does not.
 * @param {number} code
 */
export function isFinal(code) {
  return code >= 4500 && code <= 4999;
}

/**
 * @param {string|undefined} url
 * @param {Options} options
 */
export function socketUrl(url, options = {}) {
  const base = globalThis.location?.href ?? "http://localhost:8000/";
  const target = new URL(url ?? "/ws/realtime/", base);
  target.protocol = target.protocol === "https:" || target.protocol === "wss:" ? "wss:" : "ws:";
  target.hash = "";
  if (options.batch) target.searchParams.set("batch", "1");
  if (options.acks) target.searchParams.set("acks", "1");
  if (options.maxRate) target.searchParams.set("max_rate", String(options.maxRate));
  if (options.numbers) target.searchParams.set("numbers", options.numbers);
  return target.href;
}

export class RealtimeClient {
  /** @type {Options} */ #options;
  /** @type {string} */ #url;
  /** @type {Clock} */ #clock;
  /** @type {() => number} */ #random;
  /** @type {Map<string, Set<Function>>} */ #listeners = new Map();
  /** @type {Map<string, Wish>} */ #symbols = new Map(); // by wanted symbol
  /** @type {Set<number>} */ #portfolios = new Set(); // wanted portfolios
  /** @type {Map<string, {type: string, data: any}>} */ #requests = new Map(); // unanswered, by id
  /** @type {Map<string, {sentAt: number, resolve: (rtt: number|null) => void}>} */ #pings = new Map();
  /** @type {Set<any>} */ #retries = new Set(); // timers of requests that a passing refusal postponed
  /** @type {any} */ #socket = null;
  /** @type {ConnectionState} */ #state = "idle";
  /** @type {Record<string, any>|null} */ #connection = null;
  /** @type {any} */ #attemptTimer = null;
  /** @type {any} */ #watchTimer = null;
  #attempt = 0;
  #retryAt = /** @type {number|null} */ (null);
  #lastId = 0;
  #lastFrameAt = 0;
  #lastPingAt = 0;
  #stale = false;
  #hasConnected = false;
  /** @type {(() => void)|null} */ #unwatchHost = null;

  /**
   * @param {string|Options} [urlOrOptions]
   * @param {Options} [options]
   */
  constructor(urlOrOptions, options) {
    this.#options = typeof urlOrOptions === "object" ? urlOrOptions : (options ?? {});
    const url = typeof urlOrOptions === "string" ? urlOrOptions : this.#options.url;
    this.#url = socketUrl(url, this.#options);
    this.#clock = this.#options.clock ?? SYSTEM_CLOCK;
    this.#random = this.#options.random ?? Math.random;
  }

  get url() {
    return this.#url;
  }

  get state() {
    return this.#state;
  }

  /** The data of the last `connection` frame: connection_id, user_id, epoch, limits … */
  get connection() {
    return this.#connection;
  }

  /** When the next attempt starts, by the clock's now(); null while none is planned. */
  get retryAt() {
    return this.#retryAt;
  }

  /** Opens the socket and keeps it open until close(). Does nothing while that is already so. */
  connect() {
    if (this.#state === "connecting" || this.#state === "connected" || this.#state === "reconnecting") return;
    this.#attempt = 0;
    this.#hasConnected = false;
    this.#watchHost();
    this.#open();
  }

  /** Closes for good; connect() opens again, with the same subscriptions. */
  close() {
    if (this.#state === "idle" || this.#state === "closed") return;
    this.#end(1000, "closed by the page");
  }

  /**
   * Listens to a server message type, or to `state`, `stale`, `message` (every envelope) or `latency`.
   * A listener that throws is reported and harms nothing else.
   * @param {string} event
   * @param {(data: any, envelope?: Envelope) => void} fn
   * @returns {() => void} ends the listening
   */
  on(event, fn) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(fn));
    return () => void listeners.delete(fn);
  }

  /**
   * Subscribing again replaces what was wanted of a symbol, its channels too.
   * @param {string|Iterable<string>} symbols
   * @param {Wish} [wish]
   */
  subscribeAsset(symbols, { mode, channels } = {}) {
    const wanted = symbolList(symbols);
    for (const symbol of wanted) this.#symbols.set(symbol, { mode, channels });
    if (this.#state === "connected") this.#askForSymbols(wanted, { mode, channels });
  }

  /**
   * Asks for the snapshots of symbols again, as after a hole in a book.
   * @param {string|Iterable<string>} symbols
   */
  refreshAsset(symbols) {
    if (this.#state !== "connected") return; // a new connection asks for all of them
    for (const symbol of symbolList(symbols)) {
      const wish = this.#symbols.get(symbol);
      if (wish) this.#askForSymbols([symbol], wish);
    }
  }

  /** @param {string|Iterable<string>} symbols */
  unsubscribeAsset(symbols) {
    const unwanted = symbolList(symbols).filter((symbol) => this.#symbols.delete(symbol));
    if (this.#state !== "connected") return;
    for (const chunk of chunks(unwanted)) this.send("unsubscribe_asset", { symbols: chunk });
  }

  /** @param {number} id */
  subscribePortfolio(id) {
    this.#portfolios.add(id);
    if (this.#state === "connected") this.#request("subscribe_portfolio", { portfolio_id: id });
  }

  /** @param {number} id */
  unsubscribePortfolio(id) {
    const wasWanted = this.#portfolios.delete(id);
    if (wasWanted && this.#state === "connected") this.send("unsubscribe_portfolio", { portfolio_id: id });
  }

  clearSubscriptions() {
    this.#symbols.clear();
    this.#portfolios.clear();
    if (this.#state === "connected") this.send("clear_subscriptions", {});
  }

  /**
   * Measures a round trip. Never rejects.
   * @returns {Promise<number|null>} milliseconds, or null when the connection is not open or goes before the answer
   */
  ping() {
    const id = this.send("ping", {});
    if (id === null) return Promise.resolve(null);
    this.#lastPingAt = this.#clock.now();
    return new Promise((resolve) => this.#pings.set(id, { sentAt: this.#clock.now(), resolve }));
  }

  /**
   * Sends one message now. Nothing is queued: what must survive a reconnect is a subscription.
   * @param {string} type
   * @param {object} [data]
   * @returns {string|null} the id that the answer will carry, or null when the connection is not open
   */
  send(type, data = {}) {
    if (this.#state !== "connected" || this.#socket?.readyState !== OPEN) return null;
    const id = `c${++this.#lastId}`;
    this.#socket.send(JSON.stringify({ type, id, data, timestamp: new Date().toISOString() }));
    return id;
  }

  /** Skips what is left of the back-off. */
  retryNow() {
    if (this.#state === "reconnecting" && this.#socket === null && this.#attemptTimer !== null) this.#open();
  }

  // --- the connection ---------------------------------------------------------------------------------------------

  #open() {
    this.#clearTimers();
    this.#setState(this.#hasConnected || this.#attempt > 0 ? "reconnecting" : "connecting", "opening");
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    let socket;
    try {
      socket = new Socket(this.#url);
    } catch (error) {
      this.#end(null, `expected a WebSocket address, was ${this.#url} (${error})`);
      return;
    }
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onmessage = (/** @type {{data: any}} */ event) => this.#receive(event.data);
    socket.onerror = () => {}; // a close always follows and says more
    socket.onclose = (/** @type {{code: number, reason: string}} */ event) => this.#closed(event, opened);
    const limit = this.#options.connectTimeout ?? 10000;
    this.#attemptTimer = this.#clock.setTimeout(() => this.#drop("no answer to the handshake"), limit);
  }

  /**
   * @param {{code: number, reason: string}} event
   * @param {boolean} opened
   */
  async #closed({ code, reason }, opened) {
    this.#forgetSocket();
    if (isFinal(code)) return this.#end(code, reason || "refused by the server");
    const { mayRetry } = this.#options;
    if (!opened && mayRetry) {
      this.#setState("reconnecting", "asking why the handshake was refused", code);
      const mayGoOn = await mayRetry().catch(() => true);
      if (this.#state !== "reconnecting" || this.#socket !== null || this.#attemptTimer !== null) return;
      if (!mayGoOn) return this.#end(4500, "session ended");
    }
    this.#retry(code, reason || "connection lost");
  }

  /** Gives a socket up without waiting for its close, which a dead network may never deliver. */
  #drop(/** @type {string} */ reason) {
    this.#forgetSocket();
    this.#retry(null, reason);
  }

  /**
   * @param {number|null} code
   * @param {string} reason
   */
  #retry(code, reason) {
    const { minDelay, maxDelay } = this.#options;
    const delay = backoff(this.#attempt, this.#random, minDelay, maxDelay);
    this.#attempt += 1;
    this.#retryAt = this.#clock.now() + delay;
    this.#attemptTimer = this.#clock.setTimeout(() => this.#open(), delay);
    this.#setState("reconnecting", reason, code);
  }

  /**
   * @param {number|null} code
   * @param {string} reason
   */
  #end(code, reason) {
    this.#forgetSocket();
    this.#unwatchHost?.();
    this.#unwatchHost = null;
    this.#setState("closed", reason, code);
  }

  #forgetSocket() {
    this.#clearTimers();
    const socket = this.#socket;
    this.#socket = null;
    this.#requests.clear();
    for (const { resolve } of this.#pings.values()) resolve(null);
    this.#pings.clear();
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      if (socket.readyState <= OPEN) socket.close(1000);
    } catch {
      // already gone
    }
  }

  #clearTimers() {
    this.#clock.clearTimeout(this.#attemptTimer);
    this.#clock.clearTimeout(this.#watchTimer);
    for (const timer of this.#retries) this.#clock.clearTimeout(timer);
    this.#retries.clear();
    this.#attemptTimer = this.#watchTimer = this.#retryAt = null;
  }

  /**
   * @param {ConnectionState} state
   * @param {string} reason
   * @param {number|null} [code]
   */
  #setState(state, reason, code = null) {
    const previous = this.#state;
    this.#state = state;
    if (state !== "connected") this.#setStale(false);
    this.#emit("state", { state, previous, reason, code, attempt: this.#attempt, retryAt: this.#retryAt });
  }

  // --- frames -----------------------------------------------------------------------------------------------------

  #receive(/** @type {any} */ text) {
    this.#lastFrameAt = this.#clock.now();
    this.#setStale(false);
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      return this.#report(new Error(`expected JSON, was ${String(text).slice(0, 80)}`));
    }
    if (envelope === null || typeof envelope !== "object" || typeof envelope.type !== "string") return;
    if (DATA_TYPES.has(envelope.type)) this.#attempt = 0;
    if (envelope.type === "connection") this.#connected(envelope.data ?? {});
    if (envelope.id !== undefined) this.#answered(envelope);
    this.#emit("message", envelope, envelope);
    this.#emit(envelope.type, envelope.data, envelope);
    if (this.#options.acks && Number.isInteger(envelope.frame)) this.send("ack", { frame: envelope.frame });
  }

  #connected(/** @type {Record<string, any>} */ data) {
    this.#clock.clearTimeout(this.#attemptTimer);
    this.#attemptTimer = this.#retryAt = null;
    this.#connection = data;
    this.#hasConnected = true;
    this.#lastPingAt = this.#clock.now();
    this.#setState("connected", "connected");
    this.#watch();
    this.#replay();
  }

  #answered(/** @type {Envelope} */ { type, id, data }) {
    const key = /** @type {string} */ (id);
    const ping = this.#pings.get(key);
    if (ping) {
      this.#pings.delete(key);
      const rtt = this.#clock.now() - ping.sentAt;
      ping.resolve(type === "pong" ? rtt : null);
      if (type === "pong") this.#emit("latency", { rtt });
    }
    const request = this.#requests.get(key);
    if (!request) return;
    this.#requests.delete(key);
    if (type === "error") this.#refused(request, data?.code);
    for (const result of data?.results ?? []) {
      if (result.status !== "error") continue;
      const part =
        "symbol" in result ? { ...request, data: { ...request.data, symbols: [result.symbol] } } : request;
      this.#refused(part, result.code);
    }
  }

  /**
   * A lasting refusal ends the wish; a passing one is asked again a little later.
   * @param {{type: string, data: any}} request
   * @param {string} code
   */
  #refused({ type, data }, code) {
    if (LASTING_REFUSALS.has(code)) {
      for (const symbol of data.symbols ?? []) this.#symbols.delete(symbol);
      if (type === "subscribe_portfolio") this.#portfolios.delete(data.portfolio_id);
      return;
    }
    const timer = this.#clock.setTimeout(
      () => {
        this.#retries.delete(timer);
        if (type === "subscribe_portfolio") {
          if (this.#portfolios.has(data.portfolio_id)) this.#request(type, data);
          return;
        }
        const wanted = data.symbols.filter((/** @type {string} */ symbol) => this.#symbols.has(symbol));
        this.#askForSymbols(wanted, data);
      },
      1000 + 2000 * this.#random(),
    );
    this.#retries.add(timer);
  }

  #replay() {
    /** @type {Map<string, {wish: Wish, symbols: string[]}>} */
    const alike = new Map();
    for (const [symbol, wish] of this.#symbols) {
      const key = JSON.stringify([wish.mode, wish.channels]);
      alike.set(key, { wish, symbols: [...(alike.get(key)?.symbols ?? []), symbol] });
    }
    for (const { wish, symbols } of alike.values()) this.#askForSymbols(symbols, wish);
    for (const id of this.#portfolios) this.#request("subscribe_portfolio", { portfolio_id: id });
  }

  /**
   * @param {string[]} symbols
   * @param {Wish} wish
   */
  #askForSymbols(symbols, { mode, channels }) {
    const wish = { ...(mode ? { mode } : {}), ...(channels?.length ? { channels } : {}) };
    for (const chunk of chunks(symbols)) this.#request("subscribe_asset", { symbols: chunk, ...wish });
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #request(type, data) {
    const id = this.send(type, data);
    if (id !== null) this.#requests.set(id, { type, data });
  }

  // --- signs of life ----------------------------------------------------------------------------------------------

  get #heartbeat() {
    return 1000 * (this.#connection?.heartbeat_interval || 15);
  }

  /** Nothing for one heartbeat and a third is stale and gets a ping; nothing for two is dead. */
  #watch() {
    const silence = this.#clock.now() - this.#lastFrameAt;
    if (silence >= 2 * this.#heartbeat) return this.#drop(`nothing heard for ${Math.round(silence / 1000)} s`);
    if (silence >= (4 / 3) * this.#heartbeat && !this.#stale) {
      this.#setStale(true, silence);
      void this.ping();
    } else if (this.#clock.now() - this.#lastPingAt >= 2 * this.#heartbeat) void this.ping();
    this.#watchTimer = this.#clock.setTimeout(() => this.#watch(), this.#heartbeat / 6);
  }

  /**
   * @param {boolean} stale
   * @param {number} silence
   */
  #setStale(stale, silence = 0) {
    if (this.#stale === stale) return;
    this.#stale = stale;
    this.#emit("stale", { stale, silence });
  }

  /** After a change of network or a sleep: the connection must answer soon or is given up. */
  #probe() {
    if (this.#state !== "connected") return;
    const before = this.#lastFrameAt;
    const socket = this.#socket;
    void this.ping();
    const timer = this.#clock.setTimeout(() => {
      this.#retries.delete(timer);
      if (this.#socket === socket && this.#lastFrameAt === before) this.#drop("the network went away");
    }, PROBE_TIMEOUT);
    this.#retries.add(timer);
  }

  #watchHost() {
    const host = this.#options.host ?? /** @type {any} */ (globalThis.window);
    if (!host?.addEventListener || this.#unwatchHost) return;
    const { document } = host;
    const online = () => (this.#state === "connected" ? this.#probe() : this.retryNow());
    // Not dropped at once: a server on this machine answers without any network.
    const offline = () => this.#probe();
    const visible = () => document.visibilityState === "visible" && online();
    host.addEventListener("online", online);
    host.addEventListener("offline", offline);
    document?.addEventListener("visibilitychange", visible);
    this.#unwatchHost = () => {
      host.removeEventListener("online", online);
      host.removeEventListener("offline", offline);
      document?.removeEventListener("visibilitychange", visible);
    };
  }

  // --- listeners --------------------------------------------------------------------------------------------------

  /**
   * @param {string} event
   * @param {any} data
   * @param {Envelope} [envelope]
   */
  #emit(event, data, envelope) {
    for (const fn of [...(this.#listeners.get(event) ?? [])]) {
      try {
        fn(data, envelope);
      } catch (error) {
        this.#report(error);
      }
    }
  }

  #report(/** @type {unknown} */ error) {
    (this.#options.logger ?? console).error(error);
  }
}

/** @param {string|Iterable<string>} symbols */
function symbolList(symbols) {
  const list = typeof symbols === "string" ? [symbols] : [...symbols];
  return [...new Set(list.map((symbol) => String(symbol).trim().toUpperCase()))];
}

/**
 * @param {string[]} symbols
 * @returns {string[][]}
 */
function chunks(symbols) {
  const parts = [];
  for (let start = 0; start < symbols.length; start += SYMBOLS_A_MESSAGE) {
    parts.push(symbols.slice(start, start + SYMBOLS_A_MESSAGE));
  }
  return parts;
}
