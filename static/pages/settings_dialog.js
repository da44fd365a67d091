/** A portfolio's name, currency and rules. What its rows contradict, the server refuses at its field. */

import { api } from "./api.js";
import { ask } from "./ask.js";
import { el } from "./dom.js";
import { FieldErrors } from "./field_errors.js";

const NAMES = ["name", "currency", "lot_method", "time_zone", "short_sales"];

/**
 * @param {HTMLDialogElement} dialog
 * @param {number} id
 * @param {(portfolio: any) => void} onSaved
 */
export async function openSettings(dialog, id, onSaved) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const errors = new FieldErrors(form);
  const known = await api(`/api/portfolios/${id}/`);
  for (const name of NAMES) {
    const input = /** @type {any} */ (form.elements.namedItem(name));
    if (input.type === "checkbox") input.checked = known[name];
    else input.value = known[name];
  }
  offerZones(dialog);
  errors.clear();
  const save = async () => onSaved(await api(`/api/portfolios/${id}/`, { method: "PATCH", body: changed(form, known) }));
  ask(dialog, save, (error) => errors.showRefusal(error, "Not saved"));
}

/** Only what is different: a change of currency or of rules books every row anew. */
function changed(/** @type {HTMLFormElement} */ form, /** @type {any} */ known) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const name of NAMES) {
    const input = /** @type {any} */ (form.elements.namedItem(name));
    const value = input.type === "checkbox" ? input.checked : input.value.trim();
    if (value !== known[name]) body[name] = value;
  }
  return body;
}

function offerZones(/** @type {HTMLDialogElement} */ dialog) {
  const list = dialog.querySelector("datalist");
  if (!list || list.childElementCount) return;
  list.append(...["UTC", ...Intl.supportedValuesOf("timeZone")].map((zone) => el("option", { value: zone })));
}
