/** Who is using the page: signed in, with a key, or without either where the service allows it. */

import { ApiError, call, credential, forget, get, refused } from "./api.js";
import { store } from "./store.js";

const KEPT_AS = "studio.session";
const NAMELESS = "studio";

/**
 * `kind`: "user" has `token` and `user`; "key" has `key` and `userId`; "anonymous" has `userId`; null is nobody.
 * `ended`: the service does not accept the credential any more; whoever uses the page is asked to sign in again.
 * @typedef {{kind: "user" | "key" | "anonymous", token?: string, key?: string, name?: string, scopes?: string[], userId: string,
 *   user?: object, ended?: boolean}} Session
 */
export const session = store(/** @type {Session | null} */ (null));
/** What the service lets people do: `{registration, anonymous, signupTokens, tokensPerUsd}`; null until it is known. */
export const rules = store(null);
/** A signed-in user's tokens: `{tokens, held}`; null where nobody pays by tokens, or while they are not known. */
export const balance = store(null);
const leaving = new Set();

session.watch((now) => {
  credential.current = proofOf(now);
});
refused.call = () => session.set((now) => (now && !now.ended && now.kind !== "anonymous" ? { ...now, ended: true } : now));

/** Take up what this browser remembers. Resolves when it is known who uses the page. */
export async function resume() {
  const found = remembered();
  if (found) session.set(found);
  rules.set(await get("/api/auth/options"));
  if (!found && rules.get().anonymous) session.set({ kind: "anonymous", userId: NAMELESS });
  if (found?.kind === "user") refreshBalance();
}

/** Call something when whoever uses the page signs out: what was typed is then no business of the next one. */
export function onLeave(call_) {
  leaving.add(call_);
}

export async function signIn(email, password, stay) {
  const { data } = await call("POST", "/api/auth/login", { body: { email, password }, proof: null });
  enter({ kind: "user", token: data.token, user: data.user, userId: data.user.id }, stay);
}

export async function signUp(email, password, stay) {
  const { data } = await call("POST", "/api/auth/register", { body: { email, password }, proof: null });
  enter({ kind: "user", token: data.token, user: data.user, userId: data.user.id }, stay);
}

/** Use an API key, once it has proved good. `userId` may be empty: the key's own first user, or a name of this page's. */
export async function useKey(key, userId, stay) {
  const { name, users, scopes } = await get("/api/auth/caller", undefined, { proof: { key } });
  enter({ kind: "key", key, name, scopes, userId: userId || users[0] || NAMELESS }, stay);
}

export function useNothing() {
  enter({ kind: "anonymous", userId: NAMELESS }, false);
}

/** Let whoever uses the page look at it although the session has ended; the next refusal asks for the password again. */
export function notNow() {
  session.set((now) => now && { ...now, ended: false });
}

/** End the session, here and at the service; without a connection it ends here. */
export async function signOut() {
  const was = session.get();
  const proof = proofOf(was);
  for (const storage of [sessionStorage, localStorage]) storage.removeItem(KEPT_AS);
  for (const each of leaving) each();
  forget();
  balance.set(null);
  session.set(null);
  if (was?.kind === "user" && !was.ended) await call("POST", "/api/auth/logout", { proof }).catch(() => {});
}

/** Read how many tokens are left. */
export async function refreshBalance() {
  const who = session.get();
  if (who?.kind !== "user") return balance.set(null);
  try {
    const { data } = await get("/api/tokens/balance");
    if (session.get()?.token === who.token) balance.set(data);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

function enter(next, stay) {
  const was = session.get();
  if (was && was.userId !== next.userId) forget();
  // What a guest has typed is theirs when they sign in; what another user has typed is not.
  if (was && was.kind !== "anonymous" && was.userId !== next.userId) for (const each of leaving) each();
  const [kept, other] = stay ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
  other.removeItem(KEPT_AS);
  if (next.kind === "anonymous") kept.removeItem(KEPT_AS);
  else kept.setItem(KEPT_AS, JSON.stringify(next));
  balance.set(null);
  session.set(next);
  refreshBalance();
}

function remembered() {
  for (const storage of [sessionStorage, localStorage]) {
    try {
      const found = JSON.parse(storage.getItem(KEPT_AS));
      if (found && proofOf(found)) return found;
    } catch {
      storage.removeItem(KEPT_AS);
    }
  }
  return null;
}

function proofOf(who) {
  if (who?.token) return { token: who.token };
  return who?.key ? { key: who.key } : null;
}
