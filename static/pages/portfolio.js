/** One portfolio: live figures and positions, its transactions, and the form that adds one. */

import { ApiError, api } from "./api.js";
import { el, part, setText, view } from "./dom.js";
import { dayTime, money, price, quantity } from "./format.js";
import { LivePage } from "./live_page.js";
import { PortfolioHeader, PositionsTable } from "./portfolio_view.js";
import { fillSymbols } from "./symbol_search.js";

const PAGE_SIZE = 20;
const TITLES = /** @type {Record<string, string>} */ ({ buy: "Bought", sell: "Sold", deposit: "Deposit", withdrawal: "Withdrawal" });
const root = view("portfolio");
const id = Number(root.dataset.id);
const { currency } = root.dataset;
const form = /** @type {HTMLFormElement} */ (view("add"));
const list = view("transactions");

const page = new LivePage({ paint, feedMatters: (source) => shownSources().has(source) });
const header = new PortfolioHeader(root);
const positions = new PositionsTable(view("positions"), { emptyText: "Nothing is held yet. Add a buy below." });
let listPage = 1;
let left = false;

page.client.on("portfolio_removed", leave);
page.client.subscribePortfolio(id);
page.client.connect();
void loadValuation();
void loadTransactions();
void fillSymbols(/** @type {HTMLElement} */ (document.getElementById("symbols"))).catch(() => {});
setNow();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void add();
});
field("type").addEventListener("change", showFields);
part(list, "newer").addEventListener("click", () => turn(-1));
part(list, "older").addEventListener("click", () => turn(1));
part(root, "rename").addEventListener("click", () => ask("rename", rename));
part(root, "delete").addEventListener("click", () => ask("delete", remove));

async function loadValuation() {
  const answer = await api(`/api/portfolios/${id}/`).catch(() => null);
  if (answer?.valuation && !page.store.portfolios.has(id)) page.store.apply({ type: "portfolio_update", data: answer.valuation });
}

/** @param {{portfolios: Set<number>}} changes */
function paint({ portfolios }) {
  const portfolio = page.store.portfolios.get(id);
  if (!portfolio || !portfolios.has(id)) return;
  header.paint(portfolio);
  positions.paint(portfolio);
  page.showFeeds();
}

/** @returns {Set<any>} */
function shownSources() {
  return new Set((page.store.portfolios.get(id)?.positions ?? []).map(({ source }) => source));
}

// --- transactions -----------------------------------------------------------------------------------------------------

async function loadTransactions() {
  try {
    const { count, results } = await api(`/api/portfolios/${id}/transactions/?page=${listPage}&page_size=${PAGE_SIZE}`);
    part(list, "rows").replaceChildren(...results.map(transactionRow));
    setText(part(list, "count"), count ? String(count) : "");
    part(list, "empty").hidden = count > 0;
    part(list, "wrap").hidden = count === 0;
    const pages = Math.max(1, Math.ceil(count / PAGE_SIZE));
    part(list, "pager").hidden = pages === 1;
    setText(part(list, "page"), `Page ${listPage} of ${pages}`);
    part(list, "newer").disabled = listPage === 1;
    part(list, "older").disabled = listPage >= pages;
    complain(list, "");
  } catch (error) {
    if (error instanceof ApiError && error.status === 404 && listPage > 1) return turn(-1);
    complain(list, `Transactions can't be loaded. ${/** @type {Error} */ (error).message}`);
  }
}

function turn(/** @type {number} */ step) {
  listPage = Math.max(1, listPage + step);
  void loadTransactions();
}

function transactionRow(/** @type {any} */ row) {
  const isCash = row.type === "deposit" || row.type === "withdrawal";
  const cost = isCash ? row.amount : row.quantity * row.price;
  const unit = row.currency || currency;
  const title = `${TITLES[row.type] ?? row.type} ${row.symbol ?? ""}`.trim();
  const remove = el("button", {
    class: "icon-button remove",
    type: "button",
    text: "✕",
    title: "Delete",
    "aria-label": `Delete this ${row.type}`,
    onclick: () => void removeTransaction(row.id),
  });
  return el(
    "tr",
    { "data-id": row.id },
    el("td", {}, el("div", { class: "symbol-cell" }, el("strong", { text: title }), el("small", { class: "phone-only", text: dayTime(row.time) }))),
    el("td", { class: "left col-time" }, el("time", { datetime: row.time, text: dayTime(row.time), title: row.time })),
    el("td", { class: "col-quantity", text: isCash ? "" : quantity(row.quantity) }),
    el("td", { class: "col-price", text: isCash ? "" : price(row.price) }),
    el("td", { class: "col-fee", text: row.fee ? price(row.fee) : "" }),
    el("td", { text: money(cost, unit) }),
    el("td", {}, remove),
  );
}

async function removeTransaction(/** @type {number} */ rowId) {
  try {
    await api(`/api/portfolios/${id}/transactions/${rowId}/`, { method: "DELETE" });
    await loadTransactions();
  } catch (error) {
    complain(list, /** @type {Error} */ (error).message);
  }
}

// --- the form ---------------------------------------------------------------------------------------------------------

/** @returns {any} */
function field(/** @type {string} */ name) {
  return form.elements.namedItem(name);
}

/** A trade has symbol, quantity and price; money only has an amount. */
function showFields() {
  const isCash = ["deposit", "withdrawal"].includes(field("type").value);
  for (const label of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-for]"))) {
    label.hidden = (label.dataset.for === "cash") !== isCash;
    for (const input of label.querySelectorAll("input")) input.disabled = label.hidden;
  }
}

function setNow() {
  const now = new Date();
  field("time").value = new Date(now.getTime() - now.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

async function add() {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  button.disabled = true;
  complain(form, "");
  /** @type {Record<string, any>} */
  const body = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]));
  body.time = new Date(body.time).toISOString();
  body.fee ||= "0";
  body.currency = currency;
  try {
    await api(`/api/portfolios/${id}/transactions/`, { method: "POST", body });
    const { type } = body;
    form.reset();
    field("type").value = type;
    showFields();
    setNow();
    listPage = 1;
    await loadTransactions();
  } catch (error) {
    complain(form, /** @type {Error} */ (error).message);
  } finally {
    button.disabled = false;
  }
}

function complain(/** @type {HTMLElement} */ where, /** @type {string} */ text) {
  const line = part(where, "error");
  setText(line, text);
  line.hidden = text === "";
}

// --- rename and delete ------------------------------------------------------------------------------------------------

/**
 * Opens a dialog and acts on a yes; a refusal is said in the dialog, which stays.
 * @param {string} name
 * @param {(dialog: HTMLDialogElement) => Promise<void>} act
 */
function ask(name, act) {
  const dialog = /** @type {HTMLDialogElement} */ (view(name));
  complain(dialog, "");
  dialog.showModal();
  /** @type {any} */ (dialog.querySelector("form")).onsubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (/** @type {HTMLButtonElement} */ (event.submitter).value !== "yes") return dialog.close();
    try {
      await act(dialog);
      dialog.close();
    } catch (error) {
      complain(dialog, /** @type {Error} */ (error).message);
    }
  };
}

async function rename(/** @type {HTMLDialogElement} */ dialog) {
  const name = /** @type {HTMLInputElement} */ (dialog.querySelector("input")).value.trim();
  const renamed = await api(`/api/portfolios/${id}/`, { method: "PATCH", body: { name } });
  setText(part(root, "name"), renamed.name);
  document.title = `${renamed.name} · Livefolio`;
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
