/**
 * A broker's file on its way into a portfolio: chosen, looked at, put right, and then booked as a whole or not at all.
 * Every look is the server's own import with nothing stored, so that what it shows is what would happen.
 */

import { ApiError, api, onSignedOut } from "./api.js";
import { el, part, setText, view } from "./dom.js";
import { FieldErrors } from "./field_errors.js";
import { keyOf, many, readingOf, verdictOf } from "./import_words.js";
import { fillSymbols } from "./symbol_search.js";
import { kindWords } from "./words.js";

/** @typedef {import("./import_words.js").Preview} Preview */

const SHOWN = 50;
const form = /** @type {HTMLFormElement} */ (view("import"));
const result = view("result");
const { id } = form.dataset;
const errors = new FieldErrors(form);
const file = /** @type {HTMLInputElement} */ (form.elements.namedItem("file"));
const titles = Object.fromEntries([.../** @type {HTMLSelectElement} */ (form.elements.namedItem("preset")).options].map(({ value, text }) => [value, text]));
/** @type {Map<string, string>} */
const mapping = new Map(); // our symbol, by the file's
/** @type {AbortController|null} */
let request = null;

void fillSymbols(/** @type {HTMLElement} */ (document.getElementById("symbols"))).catch(() => {});
form.addEventListener("change", (event) => {
  if (event.target === file) forget();
  void look();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void look();
});
part(result, "create").addEventListener("change", () => void look());
part(result, "book").addEventListener("click", () => void book());
onSignedOut(() => location.assign(`/accounts/login/?next=${encodeURIComponent(location.pathname)}`));

/** Another file has other symbols. */
function forget() {
  mapping.clear();
  part(result, "create").checked = false;
  part(result, "symbols").replaceChildren();
}

/** @returns {FormData} everything that says how to read the file */
function body(/** @type {boolean} */ isDry) {
  const data = new FormData(form);
  for (const [name, value] of [...data]) if (value === "") data.delete(name);
  if (mapping.size) data.set("mapping", JSON.stringify(Object.fromEntries(mapping)));
  data.set("create_assets", String(part(result, "create").checked));
  data.set("dry_run", String(isDry));
  return data;
}

async function look() {
  part(form, "again").hidden = !file.files?.length;
  if (!file.files?.length) return;
  await send(true);
}

/** Until it is over nothing else can be asked for: what a page gives up waiting for may be booked all the same. */
async function book() {
  for (const element of [form, result]) element.inert = true;
  await send(false);
  for (const element of [form, result]) element.inert = false;
  if (result.dataset.booked === "true") part(result, "done").focus();
}

async function send(/** @type {boolean} */ isDry) {
  request?.abort();
  const current = (request = new AbortController());
  errors.clear();
  setText(view("state"), isDry ? "Reading the file…" : "Importing…");
  try {
    show(await api(`/api/portfolios/${id}/imports/`, { method: "POST", body: body(isDry), signal: current.signal }));
  } catch (error) {
    if (current.signal.aborted) return;
    // A file that could not be booked says why in the shape of a preview.
    if (error instanceof ApiError && Array.isArray(error.body?.problems)) return show(error.body);
    result.hidden = true;
    // Without an answer nobody knows; a look at the same file tells, because nothing is booked twice.
    const isSure = isDry || (error instanceof ApiError && error.status >= 400 && error.status < 500);
    setText(view("state"), isSure ? "Nothing is stored." : "It is not known whether the rows are stored. Read the file again to see.");
    errors.showRefusal(error, isDry ? "Not read" : "Not imported");
  }
}

// --- what was found ---------------------------------------------------------------------------------------------------

function show(/** @type {Preview} */ preview) {
  const verdict = verdictOf(preview);
  setText(view("state"), verdict.text);
  view("state").classList.toggle("error-text", !verdict.isGood);
  result.hidden = false;
  result.dataset.booked = String(preview.booked);
  setText(part(result, "reading"), readingOf(preview, titles));
  for (const name of /** @type {const} */ (["rows", "new", "duplicates"])) setText(part(result, name), preview[name].toLocaleString());
  setText(part(result, "wrong"), (preview.problems.length + preview.more_problems).toLocaleString());
  const button = part(result, "book");
  button.disabled = !verdict.isGood || preview.booked;
  setText(button, preview.new && !preview.booked ? `Import ${many(preview.new, "row")}` : "Import");
  showProblems("problems", preview.problems, preview.more_problems);
  showProblems("left_out", preview.left_out, preview.more_left_out ?? 0);
  showSymbols(preview);
  showSample(preview.sample);
  part(result, "done").hidden = !preview.booked;
}

/**
 * @param {"problems"|"left_out"} name
 * @param {import("./import_words.js").Problem[]} problems
 * @param {number} more
 */
function showProblems(name, problems, more) {
  const section = part(result, `${name}-section`);
  section.hidden = problems.length === 0;
  const rows = problems.slice(0, SHOWN).map(({ line, column, message }) =>
    el("tr", {}, el("th", { scope: "row", text: String(line) }), el("td", { class: "wrap", text: column }), el("td", { class: "wrap", text: message })),
  );
  part(section, "lines").replaceChildren(...rows);
  const unseen = problems.length - rows.length + more;
  setText(part(section, "more"), unseen ? `and ${many(unseen, "more line")}` : "");
}

/** Each asset that the file names, and ours; a row stays while its asset does, and with it what is typed there. */
function showSymbols(/** @type {Preview} */ { symbols }) {
  const section = part(result, "symbols-section");
  const body = part(section, "symbols");
  const unknown = symbols.filter(({ asset }) => !asset);
  section.hidden = symbols.length === 0;
  setText(part(section, "unknown"), unknown.length ? `${many(unknown.length, "name")} unknown here: say which of your symbols each is, or add them.` : "All of them are known.");
  part(section, "add").hidden = unknown.length === 0 && !part(result, "create").checked;
  const rows = new Map([...body.children].map((/** @type {any} */ row) => [row.dataset.key, row]));
  const wanted = symbols.map((one) => {
    const row = rows.get(keyOf(one)) ?? symbolRow(one);
    setText(part(row, "asset"), one.asset ?? "unknown");
    part(row, "asset").classList.toggle("error-text", !one.asset);
    return row;
  });
  wanted.forEach((row, i) => body.children[i] === row || body.insertBefore(row, body.children[i] ?? null));
  while (body.children.length > wanted.length) body.lastElementChild.remove();
}

function symbolRow(/** @type {import("./import_words.js").FileSymbol} */ one) {
  const key = keyOf(one);
  const input = el("input", { class: "input", list: "symbols", maxlength: 64, "aria-label": `Your symbol for ${key}`, placeholder: "your symbol", autocapitalize: "characters", spellcheck: "false", autocomplete: "off" });
  input.addEventListener("change", () => {
    const symbol = input.value.trim().toUpperCase();
    if (symbol) mapping.set(key, symbol);
    else mapping.delete(key);
    void look();
  });
  const name = el("div", { class: "symbol-cell" }, el("strong", { text: key }), el("small", { text: [one.isin, one.name, one.currency].filter((text) => text && text !== key).join(" · ") }));
  return el("tr", { "data-key": key }, el("th", { scope: "row" }, name), el("td", { text: one.rows.toLocaleString() }), el("td", { "data-f": "asset" }), el("td", {}, input));
}

function showSample(/** @type {Array<Record<string, any>>} */ sample) {
  part(result, "sample-section").hidden = sample.length === 0;
  setText(part(result, "sample-count"), sample.length > SHOWN ? `the first ${SHOWN}` : "");
  part(result, "sample").replaceChildren(...sample.slice(0, SHOWN).map(sampleRow));
}

function sampleRow(/** @type {Record<string, any>} */ { line, type, time, symbol, quantity, price, amount, currency, fee, status }) {
  const cells = [quantity, price, amount, fee].map((number) => el("td", { text: number === null || number === undefined ? "" : String(number) }));
  const badge = el("span", { class: status === "new" ? "badge badge-good" : "badge", text: status });
  return el(
    "tr",
    { "data-status": status },
    el("th", { scope: "row", text: String(line) }),
    el("td", { class: "left" }, badge),
    el("td", { class: "left", text: kindWords(type) }),
    el("td", { class: "left", text: time.replace("T", " ").replace("+00:00", "") }),
    el("td", { class: "left", text: symbol }),
    ...cells,
    el("td", { text: currency }),
  );
}
