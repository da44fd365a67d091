/** Holds a server to the protocol over a connection of its own. Each check says PASS, or FAIL and what came instead. */

const PATIENCE = 5000; // milliseconds for an answer
const NO_SYMBOL = "NO-SUCH-SYMBOL.XX";
const NO_PORTFOLIO = 9007199254740000;

/** @typedef {{name: string, verdict: "PASS"|"FAIL", detail: string}} Outcome */

/** One raw socket whose frames can be waited for. */
class Probe {
  /** @type {any[]} */ #frames = [];
  /** @type {Set<() => void>} */ #waiting = new Set();
  #closed = "";

  constructor(/** @type {string} */ url) {
    this.socket = new WebSocket(url);
    this.socket.onmessage = ({ data }) => this.#push(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => {
      this.#closed = `the connection closed with ${code} ${reason}`.trim();
      this.#wake();
    };
  }

  send(/** @type {string|object} */ message) {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /**
   * The first frame of those still unread that fits; those before it stay unread.
   * @param {string} what
   * @param {(frame: any) => boolean} fits
   * @returns {Promise<any>}
   */
  async next(what, fits) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const index = this.#frames.findIndex(fits);
      if (index >= 0) return this.#frames.splice(index, 1)[0];
      if (this.#closed) throw new Error(`expected ${what}, but ${this.#closed}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`expected ${what} within ${PATIENCE / 1000} s, came ${this.#types()}`);
      await new Promise((/** @type {(value?: any) => void} */ resolve) => {
        this.#waiting.add(resolve);
        setTimeout(resolve, left);
      });
    }
  }

  close() {
    this.socket.close();
  }

  #push(/** @type {any} */ frame) {
    this.#frames.push(frame);
    if (this.#frames.length > 500) this.#frames.shift();
    this.#wake();
  }

  #wake() {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #types() {
    return this.#frames.map(({ type }) => type).join(", ") || "nothing";
  }
}

/**
 * @param {unknown} holds
 * @param {string} expected
 * @param {any} frame
 */
function expect(holds, expected, frame) {
  if (!holds) throw new Error(`expected ${expected}, was ${JSON.stringify(frame)}`);
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const withId = (/** @type {string} */ id) => (/** @type {any} */ frame) => frame.id === id;

/** @type {Array<[string, (probe: Probe, symbol: string) => Promise<string>]>} */
const CHECKS = [
  [
    "connection: the first frame says who is connected",
    async (probe) => {
      const frame = await probe.next("connection", () => true);
      expect(frame.type === "connection" && frame.data.status === "connected", "a connection frame", frame);
      expect(typeof frame.data.connection_id === "string" && frame.data.authenticated === true, "connection_id and authenticated", frame);
      expect(TIME.test(frame.timestamp), "a UTC time with six decimals", frame);
      return `connection_id ${frame.data.connection_id}`;
    },
  ],
  [
    "ping: answered by pong with the id and the server's time",
    async (probe) => {
      const start = performance.now();
      probe.send({ type: "ping", id: "t-ping", data: {} });
      const frame = await probe.next("pong", withId("t-ping"));
      expect(frame.type === "pong" && TIME.test(frame.data.server_time), "pong with server_time", frame);
      return `${(performance.now() - start).toFixed(1)} ms`;
    },
  ],
  [
    "subscribe_asset: confirmed, then a snapshot",
    async (probe, symbol) => {
      probe.send({ type: "subscribe_asset", id: "t-sub", data: { symbol } });
      const answer = await probe.next("subscribed", withId("t-sub"));
      expect(answer.type === "subscribed" && answer.data.results[0].status === "ok", "a result that is ok", answer);
      const frame = await probe.next(`asset_update of ${symbol}`, ({ type, data }) => type === "asset_update" && data.symbol === symbol);
      expect(typeof frame.data.price === "number", "a price", frame);
      return `${symbol} ${frame.data.price}`;
    },
  ],
  [
    "subscribe_asset: an unknown symbol is named, the known one beside it works",
    async (probe, symbol) => {
      probe.send({ type: "subscribe_asset", id: "t-unknown", data: { symbols: [symbol, NO_SYMBOL] } });
      const frame = await probe.next("subscribed", withId("t-unknown"));
      const result = (/** @type {string} */ name) => frame.data.results?.find((/** @type {any} */ r) => r.symbol === name);
      expect(result(symbol)?.status === "ok" && result(NO_SYMBOL)?.code === "unknown_symbol", "unknown_symbol for one of two", frame);
      return "unknown_symbol";
    },
  ],
  [
    "an unknown type is refused by its name",
    async (probe) => {
      probe.send({ type: "no_such_type", id: "t-type", data: {} });
      const frame = await probe.next("error", withId("t-type"));
      expect(frame.data.code === "unknown_type" && frame.data.request_type === "no_such_type", "unknown_type", frame);
      return frame.data.message;
    },
  ],
  [
    "invalid JSON is refused and the socket lives",
    async (probe) => {
      probe.send("{not json");
      const frame = await probe.next("error", ({ type }) => type === "error");
      expect(frame.data.code === "invalid_json", "invalid_json", frame);
      probe.send({ type: "ping", id: "t-alive", data: {} });
      await probe.next("pong", withId("t-alive"));
      return frame.data.message;
    },
  ],
  [
    "a message of the wrong shape is refused",
    async (probe) => {
      probe.send({ type: "subscribe_asset", id: "t-shape", data: { symbols: 7 } });
      const frame = await probe.next("error", withId("t-shape"));
      expect(frame.data.code === "invalid_message", "invalid_message", frame);
      return frame.data.message;
    },
  ],
  [
    "unsubscribe_asset: confirmed",
    async (probe, symbol) => {
      probe.send({ type: "unsubscribe_asset", id: "t-unsub", data: { symbol } });
      const frame = await probe.next("unsubscribed", withId("t-unsub"));
      expect(frame.type === "unsubscribed", "unsubscribed", frame);
      return symbol;
    },
  ],
  [
    "subscribe_portfolio: one that is not yours is not found",
    async (probe) => {
      probe.send({ type: "subscribe_portfolio", id: "t-portfolio", data: { portfolio_id: NO_PORTFOLIO } });
      const frame = await probe.next("an answer", withId("t-portfolio"));
      const code = frame.type === "error" ? frame.data.code : frame.data.results?.[0]?.code;
      expect(code === "portfolio_not_found", "portfolio_not_found", frame);
      return "portfolio_not_found";
    },
  ],
];

/**
 * Runs every check, also after one has failed.
 * @param {string} url
 * @param {string} symbol  one that the server knows
 * @param {(outcome: Outcome) => void} onOutcome
 * @returns {Promise<Outcome[]>}
 */
export async function selfTest(url, symbol, onOutcome) {
  const probe = new Probe(url);
  const outcomes = [];
  for (const [name, check] of CHECKS) {
    /** @type {Outcome} */
    let outcome;
    try {
      outcome = { name, verdict: "PASS", detail: await check(probe, symbol) };
    } catch (error) {
      outcome = { name, verdict: "FAIL", detail: error instanceof Error ? error.message : String(error) };
    }
    outcomes.push(outcome);
    onOutcome(outcome);
  }
  probe.close();
  return outcomes;
}
