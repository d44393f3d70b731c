/** A value that parts of a page watch: the least that is needed to share state between modules. */

import { useEffect, useState } from "../vendor/htm-preact.js";

/**
 * @template T
 * @param {T} initial
 * @returns {{get: () => T, set: (value: T | ((old: T) => T)) => void, watch: (call: (value: T) => void) => () => void}}
 */
export function store(initial) {
  let value = initial;
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      const changed = typeof next === "function" ? next(value) : next;
      if (changed === value) return;
      value = changed;
      for (const call of [...watchers]) call(value);
    },
    watch(call) {
      watchers.add(call);
      return () => watchers.delete(call);
    },
  };
}

/** Return a store's value, and draw again when it changes. */
export function useStore(watched) {
  const [, draw] = useState(0);
  useEffect(() => {
    let seen = watched.get();
    const stop = watched.watch((value) => {
      if (value !== seen) draw((count) => count + 1);
      seen = value;
    });
    draw((count) => count + 1); // It may have changed between the drawing and now.
    return stop;
  }, [watched]);
  return watched.get();
}
