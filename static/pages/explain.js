/**
 * What each figure is made of: its parts, what they add up to, and since when. Read out of the frame that the figure
 * stood in, so that a figure and its explanation are of one moment. Knows no DOM.
 */

import { addUp, money, moment, percent, price, quantity } from "./format.js";
import { reasonWords } from "./words.js";

/**
 * @typedef {import("../realtime/store.js").Portfolio} Portfolio
 * @typedef {{label: string, amount: number|null, hint?: string}} Part
 * @typedef {{
 *   title: string,
 *   text: string,
 *   amount: number|null,
 *   currency: string,
 *   lead?: string,
 *   parts: Part[],
 *   signed?: boolean,
 *   facts: Array<[string, string]>,
 *   notes: string[],
 * }} Explanation  `parts` add up to `amount`
 */

/** @type {ReadonlyArray<[string, string, string]>} */
const COMPONENTS = [
  ["price", "Price", "what prices did to what was held"],
  ["currency", "Currency", "what exchange rates did"],
  ["trades", "Trades", "bought and sold, against having held still"],
  ["income", "Income", "dividends and interest"],
  ["fees", "Fees", "fees and taxes"],
  ["rounding", "Rounding", "each part is rounded by itself"],
];

/** @type {Record<string, (portfolio: Portfolio) => Partial<Explanation> & {title: string}>} */
const OF_PORTFOLIO = {
  total_value: (portfolio) => ({
    title: "Total value",
    amount: portfolio.total_value,
    lead: "What is held at the last prices and rates, and all cash.",
    parts: withRounding(portfolio.total_value, [...valuesOf(portfolio, "value"), ...cashParts(portfolio)], portfolio.currency),
    facts: [["Oldest price", moment(portfolio.oldest_price_at)]],
    notes: unpricedNotes(portfolio),
  }),
  daily_change: (portfolio) => ({
    title: "Today",
    amount: portfolio.daily_change,
    signed: true,
    lead: "The change since each position's previous close. Deposits and withdrawals are no part of it.",
    parts: components(portfolio.explain),
    facts: [
      ["In percent", percent(portfolio.daily_change_percent)],
      ["Oldest baseline", moment(portfolio.baseline_at)],
      ["Deposits less withdrawals", money(portfolio.external_flows, portfolio.currency, { sign: true })],
    ],
    notes: [...unpricedNotes(portfolio), ...unexplainedNotes(portfolio)],
  }),
  unrealized: (portfolio) => ({
    title: "Unrealized",
    amount: portfolio.unrealized,
    signed: true,
    lead: "What is held now, less what it cost, fees included.",
    parts: withRounding(portfolio.unrealized, valuesOf(portfolio, "unrealized"), portfolio.currency),
    notes: unpricedNotes(portfolio),
  }),
  realized: (portfolio) => ({
    title: "Realized",
    amount: portfolio.realized,
    signed: true,
    lead: "What sales brought beyond their cost, since the first row, fees included.",
    parts: sinceStart(portfolio, "realized"),
  }),
  income: (portfolio) => ({
    title: "Income",
    amount: portfolio.income,
    signed: true,
    lead: "Dividends and interest since the first row, before taxes.",
    parts: sinceStart(portfolio, "income"),
  }),
  fees: (portfolio) => ({
    title: "Fees",
    amount: portfolio.fees,
    lead: "Since the first row. A trade's fee is in the cost or the proceeds of its lots already.",
    parts: withRest("Sold positions and cash", portfolio.fees, valuesOf(portfolio, "fees"), portfolio.currency),
    facts: [["Taxes withheld or paid", money(portfolio.taxes, portfolio.currency)]],
  }),
  invested: (portfolio) => ({
    title: "Invested",
    amount: portfolio.invested,
    lead: "What is held now, at its cost: price, fee and exchange rate of the day it was bought.",
    parts: withRounding(portfolio.invested, valuesOf(portfolio, "cost_base"), portfolio.currency),
  }),
  cash: (portfolio) => ({
    title: "Cash",
    amount: portfolio.cash,
    parts: withRounding(portfolio.cash, cashParts(portfolio), portfolio.currency),
    facts: [["Gained by exchange rates", money(portfolio.cash_fx, portfolio.currency, { sign: true })]],
    notes: unpricedNotes(portfolio),
  }),
  coverage: (portfolio) => ({
    title: "Priced",
    text: coverageText(portfolio),
    lead: "Positions and currencies that are in the total. Nothing is valued without a price and a rate.",
    notes: [...unpricedNotes(portfolio), ...unexplainedNotes(portfolio)],
  }),
  valued_at: (portfolio) => ({
    title: "As of",
    text: moment(portfolio.valued_at ?? newestPrice(portfolio)),
    lead: "When these figures were computed.",
    facts: [
      ["Newest price", moment(newestPrice(portfolio))],
      ["Oldest price", moment(portfolio.oldest_price_at)],
      ["Last row of the ledger", portfolio.ledger_row == null ? "none" : String(portfolio.ledger_row)],
    ],
  }),
};

/** @type {Record<string, (position: Record<string, any>, portfolio: Portfolio) => Partial<Explanation> & {title: string}>} */
const OF_POSITION = {
  value: (position, { currency }) => ({
    title: `Value of ${position.symbol}`,
    amount: position.value,
    lead: position.reason ? `Not in the total: ${reasonWords(position.reason)}.` : "Quantity × price × exchange rate.",
    facts: [
      ["Quantity", quantity(position.quantity)],
      ["Price", `${price(position.price)} ${position.currency}`],
      ...rateFact(position, currency),
      ["Price of", `${moment(position.as_of)}, ${position.source ?? "no source"}`],
    ],
  }),
  daily_change: (position, { currency }) => ({
    title: `${position.symbol} today`,
    amount: position.daily_change,
    signed: true,
    lead: position.explain ? "The change since the previous close." : unexplained(position),
    parts: components(position.explain),
    facts: [
      ["In percent", percent(position.daily_change_percent)],
      ["Previous close", `${price(position.previous_close)} ${position.currency}`],
      ["Price", `${price(position.price)} ${position.currency}`],
      ...rateFact(position, currency),
      ["Measured from", moment(position.baseline_at)],
    ],
  }),
  unrealized: (position, { currency }) => ({
    title: `${position.symbol} unrealized`,
    amount: position.unrealized,
    signed: true,
    lead: "What is held now, less what it cost, fees included.",
    parts: withRounding(
      position.unrealized,
      [
        { label: "Price", hint: "at the exchange rates of the purchases", amount: position.unrealized_price },
        { label: "Currency", hint: "what exchange rates did since", amount: position.unrealized_currency },
      ].filter(({ amount }) => amount != null),
      currency,
    ),
    facts: [
      ["In percent", percent(position.unrealized_percent)],
      ["Value", money(position.value, currency)],
      ["Cost", money(position.cost_base, currency)],
      ["Cost in its currency", money(position.cost, position.currency)],
      ["Realized so far", money(position.realized_base, currency, { sign: true })],
      ["Income so far", money(position.income, currency, { sign: true })],
    ],
  }),
};

/**
 * @param {Portfolio} portfolio
 * @param {string} figure
 * @returns {Explanation|null} null for what is no figure
 */
export function explainPortfolio(portfolio, figure) {
  const explain = OF_PORTFOLIO[figure];
  return explain ? complete(explain(portfolio), portfolio) : null;
}

/**
 * @param {Portfolio} portfolio
 * @param {string} symbol
 * @param {string} figure
 * @returns {Explanation|null}
 */
export function explainPosition(portfolio, symbol, figure) {
  const position = portfolio.positions.find((one) => one.symbol === symbol);
  const explain = OF_POSITION[figure];
  return position && explain ? complete(explain(position, portfolio), portfolio) : null;
}

/**
 * @param {Portfolio} portfolio
 * @param {number} index  of the cash position
 * @returns {Explanation|null}
 */
export function explainCash(portfolio, index) {
  const cash = portfolio.cash_positions?.[index];
  if (!cash) return null;
  const explanation = {
    title: `${cashLabel(cash)} today`,
    amount: cash.daily_change,
    signed: true,
    lead: cash.explain ? "What exchange rates, interest and fees did." : "Its rate of the previous session is not known.",
    parts: components(cash.explain),
    facts: /** @type {Array<[string, string]>} */ ([
      ["Amount", money(cash.amount, cash.currency)],
      ...rateFact(cash, portfolio.currency),
      ["Measured from", moment(cash.baseline_at)],
    ]),
  };
  return complete(explanation, portfolio);
}

/** How many of what is held, and of the foreign currencies, are priced. */
export function coverageText(/** @type {Portfolio} */ portfolio) {
  const { positions, unpriced = [], cash_positions: cash = [], currency } = portfolio;
  const foreign = new Set(cash.filter((/** @type {any} */ one) => one.amount && one.currency !== currency).map((/** @type {any} */ one) => one.currency));
  const count = positions.filter((position) => position.quantity).length + foreign.size;
  return `${count - unpriced.length} of ${count}`;
}

export function cashLabel(/** @type {{currency: string, receivable?: boolean}} */ { currency, receivable }) {
  return receivable ? `To be paid in ${currency}` : `Cash in ${currency}`;
}

export function newestPrice(/** @type {Portfolio} */ { positions }) {
  return positions.reduce((/** @type {string|null} */ last, { as_of: at }) => (at && (!last || at > last) ? at : last), null);
}

// --- parts ------------------------------------------------------------------------------------------------------------

/**
 * @param {Partial<Explanation> & {title: string}} explanation
 * @param {Portfolio} portfolio
 * @returns {Explanation}
 */
function complete(explanation, { currency }) {
  const { amount = null, signed = false, text, parts = [], facts = [], notes = [] } = explanation;
  const shown = text ?? money(amount, currency, { sign: signed });
  return { ...explanation, amount, signed, currency, text: shown, parts, facts, notes };
}

/** @param {Record<string, number>|null|undefined} explain */
function components(explain) {
  if (!explain) return [];
  return COMPONENTS.map(([name, label, hint]) => ({ label, hint, amount: explain[name] }));
}

/**
 * @param {Portfolio} portfolio
 * @param {string} field
 * @returns {Part[]}
 */
function valuesOf({ positions }, field) {
  const known = positions.filter((position) => position[field] != null && position[field] !== 0);
  return known.sort((a, b) => b[field] - a[field]).map((position) => ({ label: position.symbol, hint: position.name, amount: position[field] }));
}

/** @returns {Part[]} */
function cashParts(/** @type {Portfolio} */ { cash_positions: cash = [], currency, cash: amount }) {
  if (!cash.length) return [{ label: "Cash", amount: amount ?? null }];
  return cash.map((/** @type {any} */ one) => ({
    label: cashLabel(one),
    hint: one.currency === currency ? "" : money(one.amount, one.currency),
    amount: one.value,
  }));
}

/**
 * What is left after the parts, under a name of its own; nothing if nothing is.
 * @param {string} label
 * @param {number|null} total
 * @param {Part[]} parts
 * @param {string} currency
 */
function withRest(label, total, parts, currency) {
  const rest = addUp([total, ...parts.map(({ amount }) => -(amount ?? 0))], currency);
  return rest ? [...parts, { label, amount: rest }] : parts;
}

/**
 * @param {number|null} total
 * @param {Part[]} parts
 * @param {string} currency
 */
function withRounding(total, parts, currency) {
  return total == null || !parts.length ? parts : withRest("Rounding", total, parts, currency);
}

/**
 * @param {Portfolio} portfolio
 * @param {"realized"|"income"} field
 * @returns {Part[]}
 */
function sinceStart(portfolio, field) {
  const today = portfolio[`${field}_today`];
  if (today == null) return [];
  const before = addUp([portfolio[field], -today], portfolio.currency);
  return [
    { label: "Today", amount: today },
    { label: "Before", amount: before },
  ];
}

/**
 * @param {Record<string, any>} position
 * @param {string} currency
 * @returns {Array<[string, string]>}
 */
function rateFact(position, currency) {
  if (position.currency === currency) return [];
  return [["Exchange rate", position.rate == null ? "not known" : `${price(position.rate, 6)} ${currency} for 1 ${position.currency}`]];
}

function unexplained(/** @type {Record<string, any>} */ position) {
  if (position.reason) return `Not known: ${reasonWords(position.reason)}.`;
  return "Not known: there is no previous close, or no exchange rate of that time.";
}

function unpricedNotes(/** @type {Portfolio} */ { unpriced = [] }) {
  return unpriced.map((/** @type {any} */ { symbol, reason }) => `${symbol} is not in it: ${reasonWords(reason)}.`);
}

function unexplainedNotes(/** @type {Portfolio} */ { unexplained: names = [] }) {
  return names.map((/** @type {string} */ name) => `${name} is in the total, but not in today's change: its previous close is not known.`);
}
