/** The list of portfolios: each card's figures live, and a form for a new one. */

import { ApiError, all, api } from "./api.js";
import { el, part, setDirection, setText, view } from "./dom.js";
import { arrow, day, money, percent } from "./format.js";
import { LivePage } from "./live_page.js";

const page = new LivePage({ paint, feedMatters: (source) => shownSources().has(source) });
/** @type {Map<number, {amount: HTMLElement, today: HTMLElement}>} */
const cards = new Map();
const root = view("portfolios");
const form = /** @type {HTMLFormElement} */ (view("create"));

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
  cards.set(id, { amount, today });
  const meta = el("span", { class: "soft", text: `${currency} · since ${day(created)}` });
  return el("li", {}, el("a", { class: "card portfolio-card", href: `/portfolios/${id}/`, "data-id": id }, el("strong", { text: name }), meta, amount, today));
}

async function create() {
  const error = part(form, "error");
  error.hidden = true;
  const data = new FormData(form);
  const body = { name: String(data.get("name")).trim(), currency: String(data.get("currency")).trim() };
  try {
    const made = await api("/api/portfolios/", { method: "POST", body });
    location.assign(`/portfolios/${made.id}/`);
  } catch (problem) {
    setText(error, /** @type {Error} */ (problem).message);
    error.hidden = false;
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
  }
}

/** @returns {Set<any>} */
function shownSources() {
  const positions = [...page.store.portfolios.values()].flatMap((portfolio) => portfolio.positions);
  return new Set(positions.map(({ source }) => source));
}
