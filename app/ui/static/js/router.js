/** Addresses of a page's screens. What a screen shows is in its address, so that it works on reload and can be passed on. */

import { useEffect } from "../vendor/htm-preact.js";
import { addressOf } from "./api.js";
import { store, useStore } from "./store.js";

/** Where the page is: `{path, query}`, the query as an object of texts. */
export const place = store(here());

function here() {
  return { path: location.pathname.replace(/(.)\/$/, "$1"), query: Object.fromEntries(new URLSearchParams(location.search)) };
}

/** Go to another screen; `replace`: without a step back to this one, as for each change of a filter. */
export function go(path, query = {}, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", addressOf(path, query));
  const was = place.get();
  place.set(here());
  if (was.path !== path) window.scrollTo(0, 0);
}

/** Change some of the query of where the page is; empty values are taken out. */
export function change(query, { replace = true } = {}) {
  const { path, query: now } = place.get();
  go(path, { ...now, ...query }, { replace });
}

/** Follow the browser's own steps, and links to screens below `base` without loading the page anew. */
export function useAddresses(base) {
  useEffect(() => {
    const stepped = () => place.set(here());
    const followed = (event) => {
      const link = event.target.closest?.("a[href]");
      if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const target = new URL(link.href);
      if (link.target || link.hasAttribute("download") || target.origin !== location.origin || !isBelow(target.pathname, base)) return;
      if (target.hash && target.pathname === location.pathname) return; // Within the page, as the skip link.
      event.preventDefault();
      go(target.pathname, Object.fromEntries(target.searchParams));
    };
    addEventListener("popstate", stepped);
    document.addEventListener("click", followed);
    return () => {
      removeEventListener("popstate", stepped);
      document.removeEventListener("click", followed);
    };
  }, [base]);
}

export function usePlace() {
  return useStore(place);
}

/**
 * Return the first screen whose `path` fits, with what its `:names` stand for.
 * @param {{path: string}[]} screens
 */
export function screenAt(screens, path) {
  const parts = path.split("/");
  for (const screen of screens) {
    const wanted = screen.path.split("/");
    if (wanted.length !== parts.length) continue;
    if (!wanted.every((word, index) => word.startsWith(":") || word === parts[index])) continue;
    const named = wanted.flatMap((word, index) => (word.startsWith(":") ? [[word.slice(1), decoded(parts[index])]] : []));
    return { screen, params: Object.fromEntries(named) };
  }
  return null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function isBelow(path, base) {
  return path === base || path.startsWith(`${base}/`);
}
