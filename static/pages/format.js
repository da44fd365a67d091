/** Numbers and times as people read them. Rounds for the eye only; knows no DOM. */

const DASH = "—";
const MINUS = "\u2212";
const ISO_CURRENCIES = new Set(Intl.supportedValuesOf("currency"));
const COINS = new Set(["BTC", "ETH", "SOL", "XBT"]); // whose smallest unit the server rounds to
/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** @param {Intl.NumberFormatOptions} options */
function format(options) {
  const key = JSON.stringify(options);
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.NumberFormat(undefined, options)));
  return made;
}

/**
 * @param {any} value
 * @returns {value is number}
 */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A true minus sign: as wide as the plus and read as one. */
function typographic(/** @type {string} */ text) {
  return text.replace("-", MINUS);
}

/** How many decimals a number is written with: 43000.01 → 2, 0.00001234 → 8, 1e-7 → 7. */
export function decimals(/** @type {number} */ value) {
  const [mantissa, exponent = "0"] = String(value).split("e");
  return Math.max(0, (mantissa.split(".")[1]?.length ?? 0) - Number(exponent));
}

/** The decimals a price is shown with: enough for the smallest ones, at least two, never a long tail. */
export function priceDigits(/** @type {number} */ value) {
  const size = Math.abs(value);
  const most = size >= 1000 ? 2 : size >= 1 ? 4 : 12;
  return Math.min(most, Math.max(2, decimals(value)));
}

/**
 * @param {any} value
 * @param {number} [digits]  fixed decimals, so that a column stays in line
 */
export function price(value, digits) {
  if (!isNumber(value)) return DASH;
  const shown = digits ?? priceDigits(value);
  return typographic(format({ minimumFractionDigits: shown, maximumFractionDigits: shown }).format(value));
}

/**
 * @param {any} value
 * @param {number} digits
 */
export function signed(value, digits) {
  if (!isNumber(value)) return DASH;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "exceptZero" };
  return typographic(format(/** @type {any} */ (options)).format(value));
}

/** @param {any} value  in percent, as the server sends it */
export function percent(value) {
  return isNumber(value) ? `${signed(value, 2)}%` : DASH;
}

/** The arrow that says the direction without any colour. */
export function arrow(/** @type {any} */ value) {
  if (!isNumber(value) || value === 0) return "■";
  return value > 0 ? "▲" : "▼";
}

/**
 * @param {any} value
 * @param {string} currency
 * @param {{sign?: boolean}} [options]
 */
export function money(value, currency, { sign = false } = {}) {
  if (!isNumber(value)) return DASH;
  const signDisplay = sign ? "exceptZero" : "auto";
  // Codes such as USDT, BTC or GBp (pence) are not ISO 4217: shown beside the number instead of guessed at.
  if (!ISO_CURRENCIES.has(currency)) {
    const number = format(/** @type {any} */ ({ minimumFractionDigits: 2, maximumFractionDigits: 8, signDisplay }));
    return typographic(`${number.format(value)} ${currency}`);
  }
  const options = { style: "currency", currency, currencyDisplay: "narrowSymbol", signDisplay };
  return typographic(format(/** @type {any} */ (options)).format(value));
}

/** How many decimals the server rounds a currency's money to. */
export function minorDigits(/** @type {string} */ currency) {
  if (COINS.has(currency)) return 8;
  if (!ISO_CURRENCIES.has(currency)) return 2;
  return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
}

/**
 * Adds rounded money up to the last digit: doubles alone would make 0.1 + 0.2 more than 0.3.
 * @param {Array<number|null|undefined>} amounts
 * @param {string} currency
 */
export function addUp(amounts, currency) {
  const unit = 10 ** minorDigits(currency);
  return amounts.reduce((/** @type {number} */ sum, amount) => sum + Math.round((amount ?? 0) * unit), 0) / unit;
}

export function quantity(/** @type {any} */ value) {
  return isNumber(value) ? typographic(format({ maximumFractionDigits: 12 }).format(value)) : DASH;
}

/** The most decimals that a quantity of this magnitude is given in a narrow column. */
export function mostSizeDigits(/** @type {number} */ value) {
  return Math.abs(value) >= 1000 ? 2 : Math.abs(value) >= 1 ? 4 : 8;
}

/** The decimals of a quantity in a narrow column: every one of small ones, none too many of large ones. */
export function sizeDigits(/** @type {number} */ value) {
  return Math.min(mostSizeDigits(value), decimals(value));
}

/**
 * @param {any} value
 * @param {number} [digits]  fixed decimals, so that a column stays in line
 */
export function size(value, digits) {
  if (!isNumber(value)) return DASH;
  if (Math.abs(value) >= 1e6) return compact(value);
  const hides = digits !== undefined && value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits; // dust is not nothing
  return price(value, hides ? sizeDigits(value) : (digits ?? sizeDigits(value)));
}

/** 50 000 000 → 50M; small counts stay whole. */
export function compact(/** @type {any} */ value) {
  if (!isNumber(value)) return DASH;
  return format({ notation: "compact", maximumFractionDigits: value < 1000 ? 2 : 1 }).format(value);
}

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Today as a time of day, any other day with its date; in the reader's own time zone. */
export function moment(/** @type {string|null|undefined} */ iso) {
  const date = new Date(iso ?? "");
  if (Number.isNaN(date.getTime())) return DASH;
  return date.toDateString() === new Date().toDateString() ? clockTime.format(date) : dayAndTime.format(date);
}

const tapeTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minuteTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** A time of day in a narrow column: 14:03:22 everywhere. */
export function clock(/** @type {string} */ iso) {
  return tapeTime.format(new Date(iso));
}

export function minute(/** @type {string} */ iso) {
  return minuteTime.format(new Date(iso));
}

const plainDate = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

/** A date that is no moment: the same for readers in every zone. */
export function date(/** @type {string} */ text) {
  return plainDate.format(new Date(text));
}

export function day(/** @type {string} */ iso) {
  return dayOnly.format(new Date(iso));
}

export function dayTime(/** @type {string} */ iso) {
  return dayAndTime.format(new Date(iso));
}
