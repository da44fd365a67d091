/** The protocol by hand: a bare socket, so that every frame is shown as it passes and nothing is repaired. */

import { socketUrl } from "../realtime/client.js";
import { ApiError, api, onSignedOut } from "./api.js";
import { el, part, setAttribute, setText, view } from "./dom.js";
import { FrameLog } from "./frame_log.js";
import { selfTest } from "./self_test.js";

/** @type {Record<string, object>} */
const MESSAGES = {
  ping: {},
  subscribe_asset: { symbols: ["AAPL", "BTC-USD"], mode: "quote" },
  change_mode: { symbol: "AAPL", mode: "ltpc" },
  unsubscribe_asset: { symbol: "AAPL" },
  subscribe_portfolio: { portfolio_id: 1 },
  unsubscribe_portfolio: { portfolio_id: 1 },
  clear_subscriptions: {},
  ack: { frame: 1 },
};

const connection = /** @type {HTMLFormElement} */ (view("connection"));
const message = /** @type {HTMLFormElement} */ (view("message"));
const text = /** @type {HTMLTextAreaElement} */ (message.elements.namedItem("text"));
const light = view("state");
const log = new FrameLog(view("log"), view("log").parentElement);
/** @type {WebSocket|null} */
let socket = null;
let lastId = 0;
let symbol = "AAPL";

part(message, "types").append(...Object.keys(MESSAGES).map(typeButton));
prefill("ping");
setText(document.querySelector("[data-f=address]"), socketUrl(undefined));
void useRealNames();

connection.addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
part(connection, "disconnect").addEventListener("click", () => socket?.close(1000));
message.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
part(message, "format").addEventListener("click", format);
document.querySelector("[data-f=run]")?.addEventListener("click", (event) => void runSelfTest(/** @type {any} */ (event.currentTarget)));
onSignedOut(() => (view("signed-out").hidden = false));

/** The examples name an asset and a portfolio that exist here. */
async function useRealNames() {
  try {
    const [assets, portfolios] = await Promise.all([api("/api/assets/?page_size=2"), api("/api/portfolios/?page_size=1")]);
    const symbols = assets.results.map((/** @type {any} */ asset) => asset.symbol);
    if (symbols.length) {
      [symbol] = symbols;
      MESSAGES.subscribe_asset = { symbols, mode: "quote" };
      MESSAGES.change_mode = { symbol, mode: "ltpc" };
      MESSAGES.unsubscribe_asset = { symbol };
    }
    const portfolio_id = portfolios.results[0]?.id;
    if (portfolio_id) MESSAGES.subscribe_portfolio = MESSAGES.unsubscribe_portfolio = { portfolio_id };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

// --- the connection ---------------------------------------------------------------------------------------------------

function address() {
  const url = new URL(socketUrl(undefined));
  const data = new FormData(connection);
  if (data.has("batch")) url.searchParams.set("batch", "1");
  if (data.has("acks")) url.searchParams.set("acks", "1");
  if (data.has("numbers")) url.searchParams.set("numbers", "string");
  const rate = String(data.get("max_rate") ?? "").trim();
  if (rate) url.searchParams.set("max_rate", rate);
  return url.href;
}

function connect() {
  socket?.close(1000);
  const mine = (socket = new WebSocket(address()));
  show("connecting", "Connecting…");
  log.add("note", `connecting to ${mine.url}`);
  mine.onopen = () => mine === socket && show("connected", "Connected");
  mine.onmessage = ({ data }) => log.add("in", String(data));
  mine.onclose = ({ code, reason }) => {
    log.add("note", `closed with ${code} ${reason}`.trim());
    if (mine !== socket) return;
    socket = null;
    show("closed", `Closed (${code})`);
  };
}

/**
 * @param {string} state
 * @param {string} word
 */
function show(state, word) {
  setAttribute(light, "data-state", state);
  setText(part(light, "word"), word);
  part(message, "send").disabled = state !== "connected";
  part(connection, "disconnect").disabled = socket === null;
}

// --- messages ---------------------------------------------------------------------------------------------------------

function typeButton(/** @type {string} */ type) {
  return el("button", { class: "chip", type: "button", "data-type": type, text: type, onclick: () => prefill(type) });
}

function prefill(/** @type {string} */ type) {
  for (const chip of part(message, "types").children) setAttribute(chip, "aria-pressed", String(chip.dataset.type === type));
  text.value = JSON.stringify({ type, id: `m${++lastId}`, data: MESSAGES[type] }, null, 2);
  setText(part(message, "error"), "");
}

function send() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(text.value);
  log.add("out", compacted(text.value));
}

/** One line for the log; what is no JSON stands as it was sent. */
function compacted(/** @type {string} */ frame) {
  try {
    return JSON.stringify(JSON.parse(frame));
  } catch {
    return frame;
  }
}

function format() {
  const error = part(message, "error");
  try {
    text.value = JSON.stringify(JSON.parse(text.value), null, 2);
    setText(error, "");
  } catch (problem) {
    setText(error, `Not JSON, which may be what you want: ${/** @type {Error} */ (problem).message}`);
  }
}

// --- the self-test ----------------------------------------------------------------------------------------------------

async function runSelfTest(/** @type {HTMLButtonElement} */ button) {
  const list = view("checks");
  const summary = document.querySelector("[data-f=summary]");
  button.disabled = true;
  list.replaceChildren();
  setText(summary, "running…");
  const outcomes = await selfTest(socketUrl(undefined), symbol, ({ name, verdict, detail }) => {
    const badge = el("span", { class: "verdict", "data-verdict": verdict, text: verdict });
    list.append(el("li", { "data-check": name }, badge, el("span", { text: name }), el("small", { text: detail })));
  });
  const passed = outcomes.filter(({ verdict }) => verdict === "PASS").length;
  setText(summary, `${passed} of ${outcomes.length} passed`);
  button.disabled = false;
}
