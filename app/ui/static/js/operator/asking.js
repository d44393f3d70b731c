/** What the service is asked for, and what it answers: one answer, the same again every few seconds, or a list page by page. */

import { useCallback, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";

/**
 * Ask for one thing. While it is asked again what was answered before stays; an answer to what nobody wants any more is dropped.
 * @param {string | null} path null asks nothing
 * @param {{query?: object, everyMs?: number | ((data: any) => number)}} options `everyMs`: ask again so long after each answer, while the page is
 *   looked at; it may depend on the answer, and 0 is never
 * @returns {{data: any, error: Error | null, busy: boolean, reload: () => void}}
 */
export function useAnswer(path, { query, everyMs = 0 } = {}) {
  const [state, setState] = useState({ data: null, error: null, busy: true, of: null });
  const [turn, setTurn] = useState(0);
  const wanted = JSON.stringify([path, query]);
  useEffect(() => {
    if (path === null) return undefined;
    const stopped = new AbortController();
    setState((now) => (now.of === wanted ? { ...now, busy: true } : { data: null, error: null, busy: true, of: wanted }));
    get(path, query, { signal: stopped.signal }).then(
      (data) => setState({ data, error: null, busy: false, of: wanted }),
      (error) => error.name !== "AbortError" && setState((now) => ({ ...now, error, busy: false })),
    );
    return () => stopped.abort();
  }, [wanted, turn]);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  const waitMs = typeof everyMs === "function" ? (state.data ? everyMs(state.data) : 0) : everyMs;
  useEffect(() => {
    if (!waitMs || state.busy) return undefined;
    const timer = setTimeout(() => document.hidden || reload(), waitMs);
    const seen = () => document.hidden || reload();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [waitMs, state.busy, turn]);
  return { ...state, reload };
}

/** So many pages without a find are read in one go: where no index serves a search, the service looks at 1,000 jobs for each. */
const EMPTY_AT_ONCE = 5;

/**
 * Read a list page by page.
 * @param {string} path @param {object} query @param {string} name the answer's field that holds the list
 * @returns {{items: object[], first: object | null, error: Error | null, busy: boolean, hasMore: boolean, more: () => void, reload: () => void}}
 *   `first`: the first page's whole answer
 */
export function usePages(path, query, name) {
  const begun = { items: [], first: null, error: null, busy: true, next: null, hasMore: false };
  const [state, setState] = useState(begun);
  const [turn, setTurn] = useState(0);
  const running = useRef(null);
  const read = async (cursor, items) => {
    running.current?.abort();
    const stopped = (running.current = new AbortController());
    try {
      let page = null;
      for (let tries = 0, next = cursor; tries < EMPTY_AT_ONCE && (!page || (!page[name].length && page.cursor.hasMore)); tries += 1) {
        page = await get(path, { ...query, cursor: next }, { signal: stopped.signal });
        next = page.cursor.next;
      }
      const { next, hasMore } = page.cursor;
      setState((now) => ({ items: [...items, ...page[name]], first: cursor ? now.first : page, error: null, busy: false, next, hasMore }));
    } catch (error) {
      if (error.name !== "AbortError") setState((now) => ({ ...now, error, busy: false }));
    }
  };
  useEffect(() => {
    setState((now) => ({ ...now, busy: true }));
    read(null, []);
    return () => running.current?.abort();
  }, [path, JSON.stringify(query), turn]);
  const more = () => {
    setState((now) => ({ ...now, busy: true }));
    read(state.next, state.items);
  };
  return { ...state, more, reload: () => setTurn((count) => count + 1) };
}
