/** Puts the dashboard together: what is watched, what is owned, one chart, and one socket for all of it. */

import { AccountList } from "./account_list.js";
import { ApiError, all, api } from "./api.js";
import { el, memory, part, setAttribute, setText, view } from "./dom.js";
import { marketText } from "./connection_light.js";
import { ExplainDialog } from "./explain_dialog.js";
import { LivePage } from "./live_page.js";
import { PortfolioHeader } from "./portfolio_header.js";
import { PositionsTable } from "./positions_table.js";
import { SelectedAsset } from "./selected_asset.js";
import { SymbolSearch } from "./symbol_search.js";
import { NO_DATA, Watchlist } from "./watchlist.js";

const SPARK_DAYS = 30;

const page = new LivePage({
  paint,
  feedMatters: (source) => shownSources().has(source),
  onReconnect: () => {
    selected.load();
    void account.load(true);
  },
});
const { client, store } = page;
const selected = new SelectedAsset(view("chart"), store);
const account = new AccountList(view("account"), store);
const watchlist = new Watchlist(view("watchlist"), store, { onSelect: select, onRemove: (entry) => void removeEntry(entry) });
const search = new SymbolSearch(view("search"), {
  onPick: (symbol) => void addSymbol(symbol),
  has: (symbol) => watchlist.rows.has(symbol),
});
const header = new PortfolioHeader(view("portfolio"));
const positions = new PositionsTable(view("positions"), { onSelect: (symbol) => select(symbol) });
const picker = /** @type {HTMLSelectElement} */ (part(view("portfolio"), "picker"));

/** @type {Map<string, any>} */
const assets = new Map();
/** @type {Map<string, string>} */
const asked = new Map(); // symbols that the socket was asked for, and with which wish
let portfolioId = 0;
const explain = new ExplainDialog(view("explain"), () => store.portfolios.get(portfolioId));

explain.listen(view("portfolio"));
explain.listen(view("positions"));

// --- start ------------------------------------------------------------------------------------------------------------

void Promise.all([loadWatchlist(), loadPortfolios(), loadFeeds()]);
client.on("subscribed", ({ results }) => results.forEach(noteResult));
client.on("error", noteError);
client.on("portfolio_removed", () => void loadPortfolios());
client.connect();
picker.addEventListener("change", () => showPortfolio(Number(picker.value)));

async function loadWatchlist() {
  const empty = part(view("watchlist"), "empty");
  try {
    const [entries, known] = await Promise.all([all("/api/watchlist/"), all("/api/assets/", { pages: 1 })]);
    for (const asset of known) learn(asset);
    await Promise.all(entries.map(({ symbol }) => assets.get(symbol) ?? fetchAsset(symbol)));
    watchlist.setEntries(entries);
    for (const { symbol } of entries) equip(symbol);
    offerFirstSymbols(empty);
    syncSubscriptions();
    watchlist.paintAll();
    const remembered = memory.get("symbol");
    select(remembered && watchlist.rows.has(remembered) ? remembered : (entries[0]?.symbol ?? known[0]?.symbol ?? ""));
    void loadSparks(entries.map(({ symbol }) => symbol));
  } catch (error) {
    showFailure(error, () => void loadWatchlist());
  }
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
function showFailure(error, retry) {
  if (error instanceof ApiError && error.isSignedOut) return;
  if (!(error instanceof ApiError)) console.error(error);
  watchlist.setEntries([]);
  part(view("watchlist"), "empty").replaceChildren(
    el("h3", { text: "The watchlist can't be loaded" }),
    el("p", { text: error instanceof Error ? error.message : String(error) }),
    el("button", { class: "button", type: "button", text: "Retry", onclick: retry }),
  );
}

/** An empty list says what to do and offers the first symbols at one click. */
function offerFirstSymbols(/** @type {HTMLElement} */ empty) {
  const choices = [...assets.keys()].slice(0, 6).map((symbol) =>
    el("button", { class: "button button-small", type: "button", text: symbol, onclick: () => void addSymbol(symbol) }),
  );
  empty.replaceChildren(
    el("h3", { text: "Nothing is watched yet" }),
    el("p", { text: "Add your first symbol by the search above, or begin with one of these." }),
    el("div", { class: "choices" }, ...choices),
  );
}

async function loadFeeds() {
  const status = await api("/realtime/status/").catch(() => null);
  for (const [source, feed] of Object.entries(status?.feeds ?? {})) {
    if (!store.feeds.has(source)) store.applyFeed({ source, ...feed });
  }
  page.showFeeds();
  watchlist.paintAll();
  paintSources();
  void account.load();
}

// --- assets and the watchlist -----------------------------------------------------------------------------------------

function learn(/** @type {any} */ asset) {
  assets.set(asset.symbol, asset);
  store.seedQuote(asset.quote);
}

async function fetchAsset(/** @type {string} */ symbol) {
  try {
    learn(await api(`/api/assets/${encodeURIComponent(symbol)}/`));
  } catch (error) {
    if (error instanceof ApiError && error.isSignedOut) throw error;
  }
}

/** Tells a row which sources its asset has, so that it can say when none runs. */
function equip(/** @type {string} */ symbol) {
  const row = watchlist.rows.get(symbol);
  if (row) row.sources = assets.get(symbol)?.sources ?? [];
}

async function addSymbol(/** @type {string} */ symbol) {
  watchlist.showError("");
  if (watchlist.rows.has(symbol)) return select(symbol);
  try {
    const entry = await api("/api/watchlist/", { method: "POST", body: { symbol } });
    if (!assets.has(entry.symbol)) await fetchAsset(entry.symbol);
    watchlist.add(entry);
    equip(entry.symbol);
    syncSubscriptions();
    watchlist.paint([entry.symbol]);
    select(entry.symbol);
    void loadSparks([entry.symbol]);
  } catch (error) {
    watchlist.showError(/** @type {Error} */ (error).message);
    search.focus();
  }
}

async function removeEntry(/** @type {{id: number, symbol: string}} */ { id, symbol }) {
  watchlist.showError("");
  try {
    await api(`/api/watchlist/${id}/`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) return watchlist.showError(/** @type {Error} */ (error).message);
  }
  watchlist.remove(symbol);
  if (selected.symbol === symbol && watchlist.symbols.length) select(watchlist.symbols[0]);
  if (!watchlist.symbols.length) offerFirstSymbols(part(view("watchlist"), "empty"));
  syncSubscriptions();
}

function select(/** @type {string} */ symbol) {
  if (!symbol) return;
  memory.set("symbol", symbol);
  watchlist.select(symbol);
  selected.show(assets.get(symbol) ?? { symbol });
  syncSubscriptions();
  selected.paintQuote();
}

/** What is watched, and of the selected asset its channels too; the socket is told of the difference only. */
function syncSubscriptions() {
  const wishes = new Map(watchlist.symbols.map((symbol) => [symbol, {}]));
  if (selected.symbol) wishes.set(selected.symbol, selected.wish);
  const surplus = [...asked.keys()].filter((symbol) => !wishes.has(symbol));
  for (const symbol of surplus) asked.delete(symbol);
  if (surplus.length) client.unsubscribeAsset(surplus);
  /** @type {Map<string, string[]>} */
  const missing = new Map();
  for (const [symbol, wish] of wishes) {
    const text = JSON.stringify(wish);
    if (asked.get(symbol) === text) continue;
    asked.set(symbol, text);
    missing.set(text, [...(missing.get(text) ?? []), symbol]);
  }
  for (const [text, symbols] of missing) client.subscribeAsset(symbols, JSON.parse(text));
}

function noteResult(/** @type {any} */ { symbol, status, code, message }) {
  if (symbol === undefined) return;
  if (code === "unsupported_mode" && symbol === selected.symbol && selected.askLess()) {
    asked.delete(symbol);
    selected.paint();
    return syncSubscriptions();
  }
  const row = watchlist.rows.get(symbol);
  if (!row) return;
  row.problem = status === "error" ? (code === "subscription_limit" ? "not live: limit" : "not live") : "";
  row.reason = status === "error" ? message : "";
  row.isPending = status === "pending";
  if (code === "subscription_limit") {
    const most = client.connection?.limits?.subscriptions;
    watchlist.showError(most ? `One page follows at most ${most} symbols; ${symbol} is not live.` : message);
  }
  watchlist.paint([symbol]);
}

/** A vendor's refusal, or that no price has come for long, is told after the subscription stands. */
function noteError(/** @type {any} */ { code, message, symbol }) {
  const row = code === "no_data" ? watchlist.rows.get(symbol) : undefined;
  if (!row) return;
  row.problem = NO_DATA;
  row.reason = message;
  watchlist.paint([symbol]);
}

async function loadSparks(/** @type {string[]} */ symbols) {
  const start = encodeURIComponent(new Date(Date.now() - SPARK_DAYS * 86400000).toISOString());
  for (const symbol of symbols) {
    const path = `/api/assets/${encodeURIComponent(symbol)}/bars/?interval=1d&start=${start}`;
    const bars = await all(path, { pages: 1 }).catch(() => []);
    watchlist.rows.get(symbol)?.spark.setCloses(bars.map(({ close }) => close));
  }
}

// --- portfolios -------------------------------------------------------------------------------------------------------

async function loadPortfolios() {
  try {
    const list = await all("/api/portfolios/");
    picker.replaceChildren(...list.map(({ id, name }) => el("option", { value: id, text: name })));
    picker.disabled = list.length < 2;
    if (!list.length) return showNoPortfolio();
    const remembered = Number(memory.get("portfolio"));
    const oldest = Math.min(...list.map(({ id }) => id));
    showPortfolio(list.some(({ id }) => id === remembered) ? remembered : oldest);
  } catch (error) {
    if (error instanceof ApiError && error.isSignedOut) return;
    picker.replaceChildren(el("option", { text: "Portfolios can't be loaded" }));
    page.notes.show("portfolios", `Portfolios can't be loaded. ${/** @type {Error} */ (error).message}`, {
      bad: true,
      action: "Retry",
      onAction: () => {
        page.notes.hide("portfolios");
        void loadPortfolios();
      },
    });
  }
}

function showNoPortfolio() {
  picker.replaceChildren(el("option", { text: "No portfolio yet" }));
  for (const name of ["total", "today", "unrealized", "cash", "coverage", "as-of"]) setText(part(view("portfolio"), name), name === "today" ? "" : "—");
  const root = view("positions");
  part(root, "wrap").hidden = true;
  part(root, "empty").hidden = false;
  part(root, "empty").replaceChildren(
    el("h3", { text: "No portfolio yet" }),
    el("p", { text: "Create one and record what you own; its value then moves with every price." }),
    el("a", { class: "button button-primary", href: "/portfolios/", text: "Create a portfolio" }),
  );
}

function showPortfolio(/** @type {number} */ id) {
  if (portfolioId && portfolioId !== id) client.unsubscribePortfolio(portfolioId);
  portfolioId = id;
  picker.value = String(id);
  memory.set("portfolio", String(id));
  const details = part(view("portfolio"), "details");
  setAttribute(details, "href", `/portfolios/${id}/`);
  details.hidden = false;
  client.subscribePortfolio(id);
  const known = store.portfolios.get(id);
  if (known) paintPortfolio(known);
  else void loadValuation(id);
}

/** Over REST too, so that the figures stand there even while the socket is not open yet. */
async function loadValuation(/** @type {number} */ id) {
  const answer = await api(`/api/portfolios/${id}/`).catch(() => null);
  if (answer?.valuation && !store.portfolios.has(id)) store.apply({ type: "portfolio_update", data: answer.valuation });
}

// --- painting ---------------------------------------------------------------------------------------------------------

/** @param {import("../realtime/store.js").Changes} changes */
function paint({ symbols, portfolios, feeds, gaps, streams, account: hasAccountNews }) {
  if (feeds.size) {
    watchlist.paintAll();
    paintSources();
    selected.onFeeds();
    syncSubscriptions();
    void account.load();
  } else watchlist.paint(symbols);
  if (symbols.has(selected.symbol)) selected.paintQuote();
  if (streams.has(selected.symbol)) selected.paint();
  if (gaps.has(store.quotes.get(selected.symbol)?.source ?? "")) selected.load();
  if (hasAccountNews) account.paint();
  const portfolio = store.portfolios.get(portfolioId);
  if (portfolio && portfolios.has(portfolioId)) paintPortfolio(portfolio);
}

function paintPortfolio(/** @type {import("../realtime/store.js").Portfolio} */ portfolio) {
  header.paint(portfolio);
  positions.paint(portfolio);
}

/**
 * Sources of what is watched or owned: trouble of any other is none of this page's.
 * @returns {Set<any>}
 */
function shownSources() {
  const sources = new Set();
  for (const symbol of watchlist.symbols) {
    sources.add(store.quotes.get(symbol)?.source);
    for (const source of assets.get(symbol)?.sources ?? []) sources.add(source);
  }
  for (const position of store.portfolios.get(portfolioId)?.positions ?? []) sources.add(position.source);
  return sources;
}

function paintSources() {
  const items = [...store.feeds.values()].map((feed) => {
    const { source, state, reason } = feed;
    const title = [reason, marketText(feed)].filter(Boolean).join("\n");
    return el("li", { "data-source": source, "data-state": state, title }, el("i", { "aria-hidden": "true" }), `${source} ${state}`);
  });
  view("sources").replaceChildren(...items);
}
