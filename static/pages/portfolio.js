/** One portfolio, put together: what it is worth and why, what it holds, its past, its rows, and what changes it. */

import { AddForm } from "./add_form.js";
import { Allocation } from "./allocation.js";
import { api } from "./api.js";
import { ask } from "./ask.js";
import { CashTable } from "./cash_table.js";
import { part, setAttribute, setText, view } from "./dom.js";
import { ExplainDialog } from "./explain_dialog.js";
import { LivePage } from "./live_page.js";
import { Lots } from "./lots.js";
import { PortfolioHeader } from "./portfolio_header.js";
import { PositionsTable } from "./positions_table.js";
import { gainReport, incomeReport } from "./reports.js";
import { Returns } from "./returns.js";
import { openSettings } from "./settings_dialog.js";
import { fillSymbols } from "./symbol_search.js";
import { Transactions, timeOf } from "./transactions.js";
import { ValueChart } from "./value_chart.js";
import { rowTitle } from "./words.js";

const root = view("portfolio");
const id = Number(root.dataset.id);
const { currency, zone, method } = root.dataset;

const page = new LivePage({ paint, feedMatters: (source) => shownSources().has(source), onReconnect: loadPast });
const header = new PortfolioHeader(root);
const positions = new PositionsTable(view("positions"), { openLots, emptyText: "Nothing is held yet. Add a buy below, or import your rows." });
const cash = new CashTable(view("cash"));
const chart = new ValueChart(view("history"), { id, currency, zone });
const allocation = new Allocation(view("allocation"), id);
const returns = new Returns(view("returns"), { id, currency });
const reports = [incomeReport(view("income"), { id, currency }), gainReport(view("gains"), { id, currency })];
const transactions = new Transactions(view("transactions"), { id, currency, confirmReversal });
const explain = new ExplainDialog(view("explain"), () => page.store.portfolios.get(id));
/** @type {Set<Lots>} */
const openedLots = new Set();
let ledgerRow = /** @type {number|null|undefined} */ (undefined); // the last one seen
let left = false;

new AddForm(view("add"), {
  id,
  currency,
  table: JSON.parse(document.getElementById("form-table")?.textContent ?? "{}"),
  canChooseLots: method !== "average",
  held: (symbol) => page.store.portfolios.get(id)?.positions.find((one) => one.symbol === symbol),
  onBooked: () => transactions.first(),
});

for (const name of ["positions", "cash"]) explain.listen(view(name));
explain.listen(root);
page.client.on("portfolio_removed", leave);
page.client.subscribePortfolio(id);
page.client.connect();
void loadValuation();
void transactions.load();
loadPast();
void fillSymbols(/** @type {HTMLElement} */ (document.getElementById("symbols"))).catch(() => {});
part(root, "settings").addEventListener("click", () => void settings());
part(root, "delete").addEventListener("click", () => ask(view("delete"), remove));

async function loadValuation() {
  const answer = await api(`/api/portfolios/${id}/`).catch(() => null);
  if (answer?.valuation && !page.store.portfolios.has(id)) page.store.apply({ type: "portfolio_update", data: answer.valuation });
}

/** What the socket does not push: days, returns, shares. */
function loadPast() {
  void chart.load();
  void returns.load();
  void allocation.load();
  for (const report of reports) void report.load();
}

/** @param {{portfolios: Set<number>}} changes */
function paint({ portfolios }) {
  const portfolio = page.store.portfolios.get(id);
  if (!portfolio || !portfolios.has(id)) return;
  header.paint(portfolio);
  positions.paint(portfolio);
  cash.paint(portfolio);
  chart.paint(portfolio);
  page.showFeeds();
  const query = portfolio.receipt ? `?receipt=${portfolio.receipt}` : "";
  setAttribute(part(view("positions"), "export"), "href", `/api/portfolios/${id}/positions.csv${query}`);
  noteLedger(portfolio.ledger_row);
}

/** A row that was booked or reversed, here or anywhere else, changes more than the figures. */
function noteLedger(/** @type {number|null|undefined} */ row) {
  if (row === ledgerRow) return;
  const isNews = ledgerRow !== undefined;
  ledgerRow = row;
  if (!isNews) return;
  void transactions.load();
  loadPast();
  for (const lots of openedLots) void lots.load();
}

/** @returns {Set<any>} */
function shownSources() {
  return new Set((page.store.portfolios.get(id)?.positions ?? []).map(({ source }) => source));
}

function openLots(/** @type {string} */ symbol) {
  const position = page.store.portfolios.get(id)?.positions.find((one) => one.symbol === symbol) ?? { symbol };
  const lots = new Lots(id, position, currency);
  openedLots.add(lots);
  const close = () => {
    lots.close();
    openedLots.delete(lots);
  };
  return { element: lots.element, close };
}

// --- what asks first --------------------------------------------------------------------------------------------------

/**
 * @param {any} row
 * @param {() => Promise<void>} act
 */
function confirmReversal(row, act) {
  const dialog = view("reverse");
  setText(part(dialog, "row"), `${rowTitle(row)}, ${timeOf(row)}`);
  ask(dialog, act);
}

async function settings() {
  page.notes.hide("settings");
  await openSettings(view("settings"), id, onSettings).catch((error) => page.notes.show("settings", `Settings can't be opened. ${error.message}`, { bad: true }));
}

function onSettings(/** @type {any} */ saved) {
  // Everything on the page is in the old currency, or follows the old rules.
  if (saved.currency !== currency || saved.time_zone !== zone || saved.lot_method !== method) return location.reload();
  setText(part(root, "name"), saved.name);
  document.title = `${saved.name} · Livefolio`;
}

async function remove() {
  await api(`/api/portfolios/${id}/`, { method: "DELETE" });
  leave();
}

/** The answer and the socket both say that it is gone; one of them is enough. */
function leave() {
  if (left) return;
  left = true;
  location.assign("/portfolios/");
}
