/**
 * Which fields the form shows for a type of row, what they are called there, and what is sent. Which a type needs and
 * may have, the server says in the page; here is only what is in sight, and how. Knows no DOM.
 */

/**
 * @typedef {{label: string, needed: string[], optional: string[]}} KindFields
 * @typedef {{name: string, label: string, input: "symbol"|"number"|"currency"|"date"|"text"|"right"|"lots", required: boolean}} Field
 */

/** In the order of the form. */
const INPUTS = /** @type {Record<string, [string, Field["input"]]>} */ ({
  symbol: ["Symbol", "symbol"],
  option_right: ["Right", "right"],
  quantity: ["Quantity", "number"],
  other_symbol: ["Other symbol", "symbol"],
  numerator: ["New units", "number"],
  denominator: ["for old units", "number"],
  price: ["Price", "number"],
  amount: ["Amount", "number"],
  currency: ["Currency", "currency"],
  to_amount: ["To amount", "number"],
  to_currency: ["To currency", "currency"],
  cost_share: ["Part of the cost, 0 to 1", "number"],
  cost: ["Cost", "number"],
  opened: ["Bought on", "date"],
  tax: ["Tax", "number"],
  pay_time: ["Paid on", "date"],
  fee: ["Fee", "number"],
  fee_currency: ["Fee currency", "currency"],
  fee_rate: ["Rate of the fee", "number"],
  rate: ["Exchange rate", "number"],
  settlement_currency: ["Settled in", "currency"],
  settlement_rate: ["Rate of the settlement", "number"],
  base_cost: ["Cost in the portfolio's currency", "number"],
  lots: ["Lots", "lots"],
  trade_id: ["Broker's number", "text"],
  note: ["Note", "text"],
});

/** Not needed, but what most people have. All else is a click away. */
const IN_SIGHT = /** @type {Record<string, string[]>} */ ({
  buy: ["fee"],
  sell: ["fee"],
  deposit: ["currency", "fee"],
  withdrawal: ["currency", "fee"],
  transfer_in: ["cost", "opened"],
  convert: ["currency", "fee"],
  dividend: ["currency", "tax", "pay_time"],
  interest: ["currency", "tax"],
  fee: ["currency"],
  tax: ["currency"],
  cash_in_lieu: ["price", "amount"],
  return_of_capital: ["currency"],
  merger: ["other_symbol", "numerator", "denominator", "amount"],
});

/** What a field is called with some types. */
const LABELS = /** @type {Record<string, Record<string, string>>} */ ({
  transfer_in: { price: "Market price" },
  transfer_out: { price: "Market price" },
  convert: { amount: "From amount", currency: "From currency" },
  dividend: { tax: "Tax withheld" },
  interest: { tax: "Tax withheld", symbol: "Symbol, if any" },
  fee: { symbol: "Symbol, if any" },
  tax: { symbol: "Symbol, if any" },
  bonus: { numerator: "Bonus units" },
  cash_in_lieu: { quantity: "Fraction sold", amount: "or amount" },
  spinoff: { other_symbol: "New symbol" },
  merger: { other_symbol: "Into", amount: "Cash part" },
  symbol_change: { other_symbol: "New symbol" },
  expire: { quantity: "Contracts" },
  exercise: { quantity: "Contracts", price: "Strike price", other_symbol: "Underlying", numerator: "Units of a contract" },
  assign: { quantity: "Contracts", price: "Strike price", other_symbol: "Underlying", numerator: "Units of a contract" },
});

/** Types whose price is the market's, so that the last one is a good proposal. */
export const AT_MARKET = new Set(["buy", "sell", "transfer_in", "transfer_out"]);

/** Types of which lots can be chosen, by the sign of what must be held. */
export const CHOOSING = /** @type {Record<string, number>} */ ({ sell: 1, transfer_out: 1, buy: -1 });

/**
 * @param {string} kind
 * @param {KindFields} fields
 * @returns {{main: Field[], advanced: Field[]}}
 */
export function fieldsOf(kind, { needed, optional }) {
  const inSight = new Set([...needed, ...(IN_SIGHT[kind] ?? [])]);
  const all = Object.entries(INPUTS)
    .filter(([name]) => needed.includes(name) || optional.includes(name))
    .map(([name, [label, input]]) => ({ name, input, label: LABELS[kind]?.[name] ?? label, required: needed.includes(name) }));
  return { main: all.filter(({ name }) => inSight.has(name)), advanced: all.filter(({ name }) => !inSight.has(name)) };
}

/** What a column is called where no type says otherwise, or null for one that no form has. */
export function labelOf(/** @type {string} */ name, /** @type {string} */ kind = "") {
  return LABELS[kind]?.[name] ?? INPUTS[name]?.[0] ?? null;
}

/**
 * What is sent: the type, what is filled in of its fields as it was typed, and the time.
 * @param {string} kind
 * @param {Field[]} fields
 * @param {Record<string, any>} values  texts, by field
 * @param {string|undefined} time
 */
export function bodyOf(kind, fields, values, time) {
  /** @type {Record<string, any>} */
  const body = { type: kind };
  for (const { name } of fields) {
    const value = typeof values[name] === "string" ? values[name].trim() : values[name];
    if (value === undefined || value === "" || (Array.isArray(value) && !value.length)) continue;
    body[name] = value;
  }
  if (time !== undefined) body.time = time;
  return body;
}

/**
 * A day alone is sent as one: the server knows when that day's session opened.
 * @param {string} day  as an <input type=date> has it
 * @param {string} clock  as an <input type=time> has it, or empty
 */
export function momentOf(day, clock) {
  if (!day) return undefined;
  return clock ? new Date(`${day}T${clock}`).toISOString() : day;
}

/** @returns {[string, string]} the reader's date and time, to the minute, as inputs have them */
export function dayAndClock(now = new Date()) {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60000).toISOString();
  return [local.slice(0, 10), local.slice(11, 16)];
}
