/** REST calls of the pages: same origin, the session's cookie, and errors that say what the server said. */

export class ApiError extends Error {
  /**
   * @param {number} status  0: the server was not reached
   * @param {string} message
   * @param {any} [body]  the server's JSON, if it sent any
   */
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** @returns {Record<string, string>} what is wrong, by field; empty if the refusal names none */
  get fields() {
    const { body } = this;
    if (body === null || typeof body !== "object" || Array.isArray(body)) return {};
    return Object.fromEntries(Object.entries(body).map(([field, texts]) => [field, flatten(texts)]));
  }

  get isSignedOut() {
    return this.status === 401;
  }
}

/** @type {Set<() => void>} */
const signedOut = new Set();

/** Calls back whenever the server says that the session is gone. */
export function onSignedOut(/** @type {() => void} */ fn) {
  signedOut.add(fn);
}

/**
 * @param {string} path
 * @param {{method?: string, body?: any, signal?: AbortSignal, exact?: boolean}} [options]  a body is sent as JSON, a
 *   form as it is; `exact` numbers come as the text that the server wrote, where the browser can
 * @returns {Promise<any>} the JSON answer, or null for an empty one
 */
export async function api(path, { method = "GET", body, signal, exact = false } = {}) {
  const response = await reach(path, method, body, signal);
  if (response.ok) {
    if (response.status === 204) return null;
    return exact ? JSON.parse(await response.text(), asWritten) : response.json();
  }
  if (response.status === 401) for (const fn of signedOut) fn();
  const answer = await response.json().catch(() => null);
  throw new ApiError(response.status, flatten(answer) || `The server answered ${response.status}.`, answer);
}

/**
 * A number with more digits than JavaScript's keeps them as text; older browsers do not tell what was written.
 * @param {string} _key
 * @param {any} value
 * @param {{source?: string}} [context]
 */
export function asWritten(_key, value, context) {
  return typeof value === "number" ? (context?.source ?? String(value)) : value;
}

/**
 * All results of a list, page after page, up to a bound.
 * @param {string} path
 * @param {{signal?: AbortSignal, pages?: number}} [options]
 * @returns {Promise<any[]>}
 */
export async function all(path, { signal, pages = 5 } = {}) {
  const results = [];
  /** @type {string|null} */
  let next = `${path}${path.includes("?") ? "&" : "?"}page_size=1000`;
  for (let page = 0; next && page < pages; page++) {
    const answer = await api(next, { signal });
    results.push(...answer.results);
    // Only its path: behind a proxy the server may not know the address that the browser uses.
    const url = answer.next && new URL(answer.next, location.href);
    next = url ? url.pathname + url.search : null;
  }
  return results;
}

/**
 * @param {string} path
 * @param {string} method
 * @param {any} body
 * @param {AbortSignal} [signal]
 */
async function reach(path, method, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  const isForm = body instanceof FormData; // whose type, with its boundary, is the browser's to say
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers, signal, body: body === undefined || isForm ? body : JSON.stringify(body) });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server can't be reached.");
  }
}

/** From the form on the page: the cookie may be hidden from scripts. */
function csrfToken() {
  return document.querySelector("input[name=csrfmiddlewaretoken]")?.getAttribute("value") ?? "";
}

/**
 * DRF answers {detail}, {field: [texts]} or a list; people get the texts.
 * @param {any} body
 * @returns {string}
 */
export function flatten(body) {
  if (typeof body === "string") return body;
  if (Array.isArray(body)) return body.map(flatten).filter(Boolean).join(" ");
  if (body === null || typeof body !== "object") return "";
  if ("detail" in body) return flatten(body.detail);
  return Object.entries(body)
    .map(([field, texts]) => (field === "non_field_errors" ? flatten(texts) : `${field}: ${flatten(texts)}`))
    .join(" ");
}
