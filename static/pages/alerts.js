/** The page of price alerts: those there are, live beside the price; a form for a new one; what has fired; the webhook. */

import { conditionWords, firedWords, stateWords } from "./alert_words.js";
import { ApiError, all, api } from "./api.js";
import { ask } from "./ask.js";
import { el, part, setText, view } from "./dom.js";
import { FieldErrors } from "./field_errors.js";
import { moment, price } from "./format.js";
import { LivePage } from "./live_page.js";
import { oneAtATime } from "./one_at_a_time.js";
import { fillSymbols } from "./symbol_search.js";

const FIRINGS = 20; // shown at first

const page = new LivePage({ paint, feedMatters, onReconnect: () => void load() });
const root = view("alerts");
const form = /** @type {HTMLFormElement} */ (view("create"));
const webhook = /** @type {HTMLFormElement} */ (view("webhook"));
const errors = new FieldErrors(form);
const webhookErrors = new FieldErrors(webhook);
/** @type {Map<number, {alert: any, last: HTMLElement}>} */
const rows = new Map();
let shown = FIRINGS;
// Many alerts may fire at once; each asks for both lists.
const load = oneAtATime(async () => void (await Promise.all([loadAlerts(), loadFirings()])));

page.client.on("alert", () => void load());
page.client.connect();
void load();
void loadWebhook();
void fillSymbols(/** @type {HTMLElement} */ (document.getElementById("symbols"))).catch(() => {});
fillForm();
showFields();
field("kind").addEventListener("change", showFields);
field("once").addEventListener("change", showFields);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void create();
});
webhook.addEventListener("submit", (event) => {
  event.preventDefault();
  void saveWebhook();
});
part(webhook, "remove").addEventListener("click", () => void removeWebhook());
part(view("firings"), "more").addEventListener("click", () => {
  shown += FIRINGS;
  void loadFirings();
});

/** @returns {any} */
function field(/** @type {string} */ name) {
  return form.elements.namedItem(name);
}

// --- the alerts -------------------------------------------------------------------------------------------------------

async function loadAlerts() {
  try {
    show(await all("/api/alerts/"));
    say("");
  } catch (error) {
    if (error instanceof ApiError && error.isSignedOut) return;
    say(`Alerts can't be loaded. ${/** @type {Error} */ (error).message}`);
  }
}

function show(/** @type {any[]} */ alerts) {
  rows.clear();
  const body = part(root, "rows");
  const keepFocus = focusKeeper(body);
  body.replaceChildren(...alerts.map(row));
  keepFocus();
  body.removeAttribute("aria-busy");
  part(root, "wrap").hidden = alerts.length === 0;
  const empty = part(root, "empty");
  empty.hidden = alerts.length !== 0;
  empty.replaceChildren(el("h2", { text: "No alert yet" }), el("p", { text: "Create one below. It is watched from then on, and tells you here, on every open page, and at your webhook." }));
  setText(part(root, "count"), alerts.length ? String(alerts.length) : "");
  page.client.subscribeAsset(alerts.map(({ symbol }) => symbol));
  paint({ symbols: new Set(alerts.map(({ symbol }) => symbol)) });
}

/**
 * Rows are made anew; whoever stands on a button of one stays there, or comes to the row that took its place.
 * @param {HTMLElement} body
 * @returns {() => void} to be called when the new rows are there
 */
function focusKeeper(body) {
  const active = document.activeElement;
  const old = active?.closest("tr");
  if (!active || !old || !body.contains(old)) return () => {};
  const [place, button] = [[...body.children].indexOf(old), [...old.querySelectorAll("button")].indexOf(/** @type {any} */ (active))];
  return () => {
    const row = body.querySelector(`[data-id="${old.dataset.id}"]`) ?? [...body.children].slice(0, place + 1).at(-1);
    const buttons = [...(row?.querySelectorAll("button") ?? [])];
    const target = buttons[button]?.hidden === false ? buttons[button] : (buttons.at(-1) ?? field("symbol"));
    target.focus();
  };
}

function row(/** @type {any} */ alert) {
  const last = el("td", { class: "col-last", text: "—" });
  rows.set(alert.id, { alert, last });
  const state = stateWords(alert);
  const badge = el("span", { class: state.isArmed ? "badge badge-good" : "badge badge-quiet", text: state.text });
  const words = [conditionWords(alert), alert.once ? "once" : ""].filter(Boolean).join(", ");
  const fired = alert.last_fired_at ? el("time", { datetime: alert.last_fired_at, text: moment(alert.last_fired_at) }) : "—";
  const rearm = el("button", { class: "button button-small", type: "button", text: "Arm again", "aria-label": `Arm ${alert.symbol} again`, hidden: state.isArmed, onclick: () => void rearmed(alert) });
  const remove = el("button", { class: "icon-button remove", type: "button", "aria-label": `Delete ${alert.symbol} ${words}`, title: "Delete", text: "✕", onclick: () => confirmDelete(alert, words) });
  return el(
    "tr",
    { "data-id": alert.id, "data-state": alert.state },
    el("th", { scope: "row" }, el("strong", { text: alert.symbol })),
    el("td", { class: "left" }, el("div", { class: "symbol-cell" }, el("span", { text: words }), badge)),
    last,
    el("td", { class: "col-fired" }, fired),
    el("td", {}, el("div", { class: "row-actions" }, rearm, remove)),
  );
}

/** @param {{symbols: Set<string>}} changes */
function paint({ symbols }) {
  for (const { alert, last } of rows.values()) {
    const quote = symbols.has(alert.symbol) ? page.store.quotes.get(alert.symbol) : undefined;
    if (quote) setText(last, price(quote.price));
  }
}

function feedMatters(/** @type {string} */ source) {
  return [...rows.values()].some(({ alert }) => page.store.quotes.get(alert.symbol)?.source === source);
}

async function rearmed(/** @type {any} */ alert) {
  try {
    await api(`/api/alerts/${alert.id}/rearm/`, { method: "POST" });
    await load();
  } catch (error) {
    say(/** @type {Error} */ (error).message);
  }
}

/**
 * @param {any} alert
 * @param {string} words
 */
function confirmDelete(alert, words) {
  const dialog = view("delete");
  setText(part(dialog, "alert"), `${alert.symbol}: ${words}`);
  ask(dialog, async () => {
    await api(`/api/alerts/${alert.id}/`, { method: "DELETE" });
    void load(); // after the dialog has given the focus back
  });
}

function say(/** @type {string} */ text) {
  setText(part(root, "error"), text);
  part(root, "error").hidden = text === "";
}

// --- a new one --------------------------------------------------------------------------------------------------------

/** A link may bring the symbol along. */
function fillForm() {
  field("symbol").value = new URLSearchParams(location.search).get("symbol") ?? "";
}

function showFields() {
  const isMove = field("kind").value === "percent_move";
  setText(part(form, "threshold-label"), isMove ? "Percent" : "Price");
  part(form, "window").hidden = !isMove;
  part(form, "again").hidden = isMove || field("once").checked;
}

async function create() {
  errors.clear();
  const body = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]).filter(([, value]) => value !== ""));
  if (body.kind !== "percent_move") delete body.window_minutes;
  try {
    await api("/api/alerts/", { method: "POST", body });
    form.reset();
    showFields();
    field("symbol").focus();
    await load();
  } catch (error) {
    errors.showRefusal(error, "Not created");
  }
}

// --- what has fired ---------------------------------------------------------------------------------------------------

async function loadFirings() {
  const list = view("firings");
  try {
    const { results, count } = await api(`/api/alerts/firings/?page_size=${shown}`);
    part(list, "rows").replaceChildren(...results.map(firingRow));
    part(list, "pager").hidden = count <= results.length;
    message(results.length ? "" : "Nothing yet.");
  } catch (error) {
    message(`What has fired can't be loaded. ${/** @type {Error} */ (error).message}`);
  }
}

function firingRow(/** @type {any} */ firing) {
  const time = el("time", { datetime: firing.fired_at, text: moment(firing.fired_at) });
  return el(
    "tr",
    { "data-id": firing.id },
    el("th", { scope: "row" }, el("strong", { text: firing.symbol })),
    el("td", { class: "left", text: firedWords(firing) }),
    el("td", { text: price(firing.price) }),
    el("td", { class: "col-time" }, time),
    el("td", { class: "col-webhook", text: firing.webhook ?? "—" }),
  );
}

function message(/** @type {string} */ text) {
  const list = view("firings");
  setText(part(list, "message"), text);
  part(list, "message").hidden = text === "";
  part(list, "wrap").hidden = text !== "";
}

// --- the webhook ------------------------------------------------------------------------------------------------------

async function loadWebhook() {
  const { url } = await api("/api/alerts/webhook/").catch(() => ({ url: "" }));
  /** @type {any} */ (webhook.elements.namedItem("url")).value = url;
  part(webhook, "remove").hidden = url === "";
}

async function saveWebhook() {
  webhookErrors.clear();
  part(webhook, "secret-box").hidden = true;
  const url = String(new FormData(webhook).get("url")).trim();
  try {
    const { secret } = await api("/api/alerts/webhook/", { method: "PUT", body: { url } });
    setText(part(webhook, "secret"), secret);
    part(webhook, "secret-box").hidden = false;
    part(webhook, "remove").hidden = false;
  } catch (error) {
    webhookErrors.showRefusal(error, "Not saved");
  }
}

async function removeWebhook() {
  webhookErrors.clear();
  try {
    await api("/api/alerts/webhook/", { method: "DELETE" });
    part(webhook, "secret-box").hidden = true;
    await loadWebhook();
  } catch (error) {
    webhookErrors.showRefusal(error, "Not removed");
  }
}
