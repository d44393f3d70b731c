/** "Show more": also by itself, when the end of a list comes near. */

import { html, useEffect, useRef } from "../../vendor/htm-preact.js";

const AHEAD = "600px";

/** @param {{hasMore: boolean, busy: boolean, onMore: () => void, auto?: boolean}} props */
export function Pager({ hasMore, busy, onMore, auto = true }) {
  const ref = useRef(null);
  const more = useRef(onMore);
  more.current = onMore;
  useEffect(() => {
    if (!auto || !hasMore || busy || !ref.current) return undefined;
    const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more.current(), { rootMargin: AHEAD });
    seen.observe(ref.current);
    return () => seen.disconnect();
  }, [auto, hasMore, busy]);
  if (!hasMore) return null;
  return html`<p class="pager"><button ref=${ref} disabled=${busy} onClick=${onMore}>${busy ? "Loading …" : "Show more"}</button></p>`;
}
