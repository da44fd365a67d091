/** Dialogs that ask before they act. */

import { part, setText } from "./dom.js";

/**
 * Opens a dialog and acts on a yes; a refusal is said in the dialog, which stays.
 * @param {HTMLDialogElement} dialog
 * @param {() => Promise<void>} act
 * @param {(error: unknown) => void} [refuse]  says what was refused; by default the dialog's own line does
 */
export function ask(dialog, act, refuse = (error) => complain(dialog, /** @type {Error} */ (error).message)) {
  complain(dialog, "");
  dialog.showModal();
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (/** @type {HTMLButtonElement} */ (event.submitter).value !== "yes") return dialog.close();
    try {
      await act();
      dialog.close();
    } catch (error) {
      refuse(error);
    }
  };
}

/**
 * @param {HTMLElement} where  has a line `data-f="error"`
 * @param {string} text  empty takes the line away
 */
export function complain(where, text) {
  const line = part(where, "error");
  setText(line, text);
  line.hidden = text === "";
}
