/** Refusals at the fields that they are about; what no field is to blame for stands in the form's own line. */

import { ApiError } from "./api.js";
import { el, part, setText } from "./dom.js";

export class FieldErrors {
  /**
   * @param {HTMLFormElement} form  with a line `data-f="error"`
   * @param {Record<string, HTMLElement>} [others]  inputs by the server's name of their field, where it differs
   */
  constructor(form, others = {}) {
    this.form = form;
    this.others = others;
  }

  clear() {
    for (const input of this.form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
    for (const line of this.form.querySelectorAll("[data-error-of]")) line.remove();
    this.#say("");
  }

  /**
   * @param {unknown} error
   * @param {string} what  did not happen: "Not added"
   */
  showRefusal(error, what) {
    if (error instanceof ApiError && Object.keys(error.fields).length) return this.show(error.fields, { what });
    this.#say(/** @type {Error} */ (error).message);
  }

  /**
   * @param {Record<string, string>} fields
   * @param {{what?: string, quiet?: boolean}} [options]  quiet: without moving the focus
   */
  show(fields, { what = "", quiet = false } = {}) {
    this.clear();
    const rest = [];
    /** @type {HTMLElement|null} */
    let first = null;
    for (const [name, text] of Object.entries(fields)) {
      const input = this.#input(name);
      if (!input) rest.push(["detail", "non_field_errors"].includes(name) ? text : `${name}: ${text}`);
      else {
        this.#mark(input, name, text);
        first ??= input;
      }
    }
    const where = first && what ? `${what}: see the marked ${Object.keys(fields).length - rest.length > 1 ? "fields" : "field"}.` : "";
    this.#say([where, ...rest].filter(Boolean).join(" "));
    if (!quiet) first?.focus();
  }

  /** @returns {HTMLElement|null} the field, if there is one to be seen; a closed disclosure around it opens */
  #input(/** @type {string} */ name) {
    const input = this.others[name] ?? this.form.elements.namedItem(name);
    if (!(input instanceof HTMLElement) || input.closest("[hidden]")) return null;
    const closed = input.closest("details:not([open])");
    if (closed instanceof HTMLDetailsElement) closed.open = true;
    return input;
  }

  /**
   * @param {HTMLElement} input
   * @param {string} name
   * @param {string} text
   */
  #mark(input, name, text) {
    const id = `${this.form.dataset.view}-${name}-error`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
    input.closest(".field")?.append(el("small", { class: "error-text", id, "data-error-of": name, text }));
  }

  #say(/** @type {string} */ text) {
    const line = part(this.form, "error");
    setText(line, text);
    line.hidden = text === "";
  }
}
