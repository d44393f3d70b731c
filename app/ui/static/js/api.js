/**
 * The service's public API: every call of a page goes through here.
 *
 * `credential` and `refused` belong to session.js; nothing else sets them.
 */

/** What went wrong, in the service's own words. `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, body = {}, retryAfterS = null) {
    super(body.message || "The service cannot be reached. Nothing is lost; try again when you are connected.");
    this.name = "ApiError";
    this.status = status;
    this.code = body.code || (status ? "error" : "offline");
    /** @type {{pointer: string, detail: string}[]} */
    this.errors = body.errors || [];
    this.details = body.details || {};
    this.jobId = body.jobId || null;
    this.requestId = body.requestId || null;
    this.retryable = status === 0 || Boolean(body.retryable);
    this.retryAfterS = retryAfterS;
  }
}

/** How each request proves who asks; null for nobody. @type {{current: {token?: string, key?: string} | null}} */
export const credential = { current: null };
/** Called with every 401 that a credential met. */
export const refused = { call: () => {} };

/** Answers that carry an ETag, by address: a 304 is answered from here. */
const kept = new Map();
const KEPT = 200;

/** Return a credential's headers. */
export function headersOf(proof) {
  if (proof?.token) return { Authorization: `Bearer ${proof.token}` };
  return proof?.key ? { "X-API-Key": proof.key } : {};
}

/** Return an address with a query; empty values are left out, lists are repeated. */
export function addressOf(path, query = {}) {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "" && one !== false) told.append(name, String(one));
    }
  }
  const text = told.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Ask the service. `body` is sent as JSON, a FormData or Blob as it is. Resolves to the answer's JSON, null for 204.
 * @throws {ApiError} for every other status; AbortError where `signal` has ended it
 */
export async function call(method, path, options = {}) {
  return (await answerOf(method, path, options)).body;
}

/** Return what is answered as a file: its bytes are no business of the page. */
export async function fileOf(method, path, { query, body, signal, proof = credential.current } = {}) {
  const response = await sent(method, addressOf(path, query), { body, signal, proof, headers: { Accept: "*/*" } });
  if (!response.ok) throw failure(response, await bodyOf(response), proof);
  try {
    return await response.blob();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The file was cut off on its way. Try again." });
  }
}

/** Like `call`, with the answer's status and headers. */
export async function answerOf(method, path, { query, body, headers = {}, signal, keep = false, proof = credential.current } = {}) {
  const address = addressOf(path, query);
  const known = keep ? kept.get(address) : undefined;
  const tagged = known && known.proof === proof ? { "If-None-Match": known.tag } : {};
  const response = await sent(method, address, { body, signal, proof, headers: { Accept: "application/json", ...tagged, ...headers } });
  if (response.status === 304 && known) return { status: 200, headers: response.headers, body: known.body, isSame: true };
  const found = await bodyOf(response);
  if (!response.ok) throw failure(response, found, proof);
  const tag = response.headers.get("ETag");
  if (keep && tag) remember(address, { tag, proof, body: found });
  return { status: response.status, headers: response.headers, body: found, isSame: false };
}

async function sent(method, address, { body, signal, proof, headers }) {
  const isRaw = body instanceof FormData || body instanceof Blob;
  const request = {
    method,
    signal,
    cache: "no-store",
    credentials: "omit",
    headers: {
      ...headersOf(proof),
      ...(body !== undefined && !isRaw ? { "Content-Type": "application/json" } : {}),
      ...headers,
    },
    body: body === undefined || isRaw ? body : JSON.stringify(body),
  };
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
}

export const get = (path, query, options = {}) => call("GET", path, { query, ...options });
export const post = (path, body, options = {}) => call("POST", path, { body, ...options });
export const patch = (path, body, options = {}) => call("PATCH", path, { body, ...options });
export const remove = (path, options = {}) => call("DELETE", path, options);

/** Forget what was answered before: another caller must not see it. */
export function forget() {
  kept.clear();
}

async function bodyOf(response) {
  if (response.status === 204) return null;
  const text = await response.text().catch(() => "");
  try {
    return JSON.parse(text);
  } catch {
    return response.ok ? text : {};
  }
}

function failure(response, body, proof) {
  const retryAfter = Number(response.headers.get("Retry-After"));
  const told = body?.message ? body : { ...body, message: `The service answered ${response.status}. Try again in a moment.` };
  if (response.status === 401 && proof && proof === credential.current) refused.call();
  return new ApiError(response.status, told, Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null);
}

function remember(address, answer) {
  kept.delete(address);
  kept.set(address, answer);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/** Return an idempotency key: the same order sent again with it buys nothing again. */
export function newKey() {
  // randomUUID exists only where the connection is secure; a LAN's often is not.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
