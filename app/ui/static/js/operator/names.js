/** Who is behind an id: the address of a user, the name of a key. Asked for once, for all ids of a screen together. */

import { html, useEffect } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { onLeave } from "../session.js";
import { store, useStore } from "../store.js";

const AT_ONCE = 100;
const SHOWN_CHARS = 13;
const known = store(new Map());
let wanted = new Set();
let timer = 0;

onLeave(() => known.set(new Map()));

function want(id) {
  if (known.get().has(id)) return;
  wanted.add(id);
  clearTimeout(timer);
  timer = setTimeout(ask, 0);
}

async function ask() {
  const ids = [...wanted];
  wanted = new Set();
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const some = ids.slice(start, start + AT_ONCE);
    const { names } = await get("/api/admin/names", { id: some }).catch(() => ({ names: {} }));
    known.set((now) => new Map([...now, ...some.map((id) => [id, names[id] || null])]));
  }
}

/**
 * Return what tells the names of ids; until one is known, or where there is none, the id.
 * @param {string} kind `user` or `key`; others are names already @param {(string | null)[]} ids
 */
export function useNames(kind, ids) {
  const names = useStore(known);
  const full = kind === "user" || kind === "key" ? ids.filter(Boolean).map((id) => `${kind}:${id}`) : [];
  useEffect(() => full.forEach(want), [full.join("\n")]);
  return (id) => names.get(`${kind}:${id}`) || id;
}

/** @param {{kind: "user" | "key", id: string | null, link?: boolean}} props */
export function Who({ kind, id, link = true }) {
  const name = useNames(kind, [id])(id);
  if (!id) return html`<span class="hint">${kind === "key" ? "no key" : "nobody"}</span>`;
  const text = name === id && id.length > SHOWN_CHARS ? `${id.slice(0, SHOWN_CHARS)}…` : name;
  if (!link) return html`<span title=${id}>${text}</span>`;
  return html`<a href=${`/operator/${kind}s/${encodeURIComponent(id)}`} title=${id}>${text}</a>`;
}
