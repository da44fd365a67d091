/** The list of portfolios: each card's figures live, and a form for a new one. */

import { ApiError, all, api } from "./api.js";
import { el, part, setDirection, setText, view } from "./dom.js";
import { FieldErrors } from "./field_errors.js";
import { arrow, day, money, percent } from "./format.js";
import { LivePage } from "./live_page.js";
import { sumsOf } from "./sums.js";

const page = new LivePage({ paint, feedMatters: (source) => shownSources().has(source) });
/** @type {Map<number, {amount: HTMLElement, today: HTMLElement, lack: HTMLElement}>} */
const cards = new Map();
const root = view("portfolios");
const form = /** @type {HTMLFormElement} */ (view("create"));
const errors = new FieldErrors(form);

void load();
page.client.connect();
page.client.on("portfolio_removed", () => void load());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void create();
});

async function load() {
  const list = part(root, "cards");
  const empty = part(root, "empty");
  try {
    const portfolios = await all("/api/portfolios/");
    cards.clear();
    list.replaceChildren(...portfolios.map(card));
    list.removeAttribute("aria-busy");
    list.hidden = portfolios.length === 0;
    empty.hidden = portfolios.length !== 0;
    empty.replaceChildren(el("h2", { text: "No portfolio yet" }), el("p", { text: "Create your first one below, then record a deposit and what you bought." }));
    for (const { id } of portfolios) {
      page.client.subscribePortfolio(id);
      void loadValuation(id);
    }
    paint({ portfolios: new Set(page.store.portfolios.keys()) });
  } catch (error) {
    if (error instanceof ApiError && error.isSignedOut) return;
    list.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(
      el("h2", { text: "Portfolios can't be loaded" }),
      el("p", { text: /** @type {Error} */ (error).message }),
      el("button", { class: "button", type: "button", text: "Retry", onclick: () => void load() }),
    );
  }
}

/** Over REST too, so that the figures stand there even while the socket is not open yet. */
async function loadValuation(/** @type {number} */ id) {
  const answer = await api(`/api/portfolios/${id}/`).catch(() => null);
  if (answer?.valuation && !page.store.portfolios.has(id)) page.store.apply({ type: "portfolio_update", data: answer.valuation });
}

function card(/** @type {any} */ { id, name, currency, created_at: created }) {
  const amount = el("span", { class: "amount" }, el("span", { class: "skeleton skeleton-title" }));
  const today = el("span", { text: "\u00a0" });
  const lack = el("span", { class: "badge", hidden: true });
  cards.set(id, { amount, today, lack });
  const meta = el("span", { class: "soft", text: `${currency} · since ${day(created)}` });
  return el("li", {}, el("a", { class: "card portfolio-card", href: `/portfolios/${id}/`, "data-id": id }, el("strong", { text: name }), meta, amount, today, lack));
}

async function create() {
  errors.clear();
  const body = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]));
  try {
    const made = await api("/api/portfolios/", { method: "POST", body });
    location.assign(`/portfolios/${made.id}/`);
  } catch (error) {
    errors.showRefusal(error, "Not created");
  }
}

/** @param {{portfolios: Set<number>}} changes */
function paint({ portfolios }) {
  for (const id of portfolios) {
    const portfolio = page.store.portfolios.get(id);
    const shown = cards.get(id);
    if (!portfolio || !shown) continue;
    const { currency, daily_change: change, daily_change_percent: share } = portfolio;
    setText(shown.amount, money(portfolio.total_value, currency));
    const rate = share == null ? "" : ` (${percent(share)})`;
    setText(shown.today, change == null ? "" : `${arrow(change)} ${money(change, currency, { sign: true })}${rate} today`);
    setDirection(shown.today, change);
    const missing = portfolio.unpriced?.length ?? 0;
    shown.lack.hidden = missing === 0;
    setText(shown.lack, `${missing} not priced, not in the total`);
  }
  paintSums();
}

/** All portfolios together, a line for each currency; one alone says it itself. */
function paintSums() {
  const shown = [...page.store.portfolios.values()].filter(({ portfolio_id: id }) => cards.has(id));
  const list = view("sums");
  list.hidden = shown.length < 2;
  const sums = sumsOf(shown);
  while (list.children.length > sums.length) list.lastElementChild.remove();
  sums.forEach(({ currency, total, today }, i) => {
    const line = list.children[i] ?? list.appendChild(el("li", {}, el("strong", { "data-f": "total" }), " ", el("span", { "data-f": "today" })));
    setText(part(line, "total"), money(total, currency));
    setText(part(line, "today"), `${arrow(today)} ${money(today, currency, { sign: true })} today`);
    setDirection(part(line, "today"), today);
  });
}

/** @returns {Set<any>} */
function shownSources() {
  const positions = [...page.store.portfolios.values()].flatMap((portfolio) => portfolio.positions);
  return new Set(positions.map(({ source }) => source));
}
