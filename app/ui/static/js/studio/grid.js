/** Pictures in rows. Only the rows that are seen, and some beside them, are in the page, however long the list is. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { isFree } from "../parts/keys.js";
import { Picture, altOf } from "../parts/picture.js";
import { addressOf } from "../api.js";

const GAP = 12;
const SMALLEST = { wide: 184, narrow: 148 };
/** Rows beside those that are seen. */
const BESIDE = 2;
/** How many rows before its end a list is read on. */
const AHEAD_ROWS = 4;
const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (columns) => -columns, ArrowDown: (columns) => columns, k: () => -1, j: () => 1 };

/**
 * @param {{listing: import("./listing.js").Listing, query: object, selected: Map<string, object>, onSelect: (picture: object, range: boolean) => void,
 *   onFavorite: (picture: object) => void, onOpen: (picture: object) => void, goal: {index: number} | null}} props `goal`: where the focus is to
 *   be, as after a picture was looked at
 */
export function Grid({ listing, query, selected, onSelect, onFavorite, onOpen, goal }) {
  const ref = useRef(null);
  const [layout, setLayout] = useState({ columns: 1, tile: SMALLEST.wide, first: 0, last: 0 });
  const [at, setAt] = useState(0);
  // Keys may come faster than the page is drawn: a step goes, and takes the focus, from where the last one led, not from what is shown yet.
  const latest = useRef(0);
  const settle = (index) => {
    latest.current = index;
    setAt(index);
  };
  const wantsFocus = useRef(false);
  const length = listing.length;
  useSeenRows(ref, listing, setLayout);
  const focus = () => {
    const link = wantsFocus.current && ref.current?.querySelector(`[data-index="${latest.current}"] a`);
    if (!link) return; // Its row is not drawn yet.
    link.focus({ preventScroll: true });
    wantsFocus.current = false;
  };
  useEffect(focus);
  const { columns, tile } = layout;
  const goTo = (index) => {
    const wanted = Math.min(Math.max(index, 0), length - 1);
    wantsFocus.current = true;
    settle(wanted);
    focus();
    reveal(ref.current, Math.floor(wanted / columns) * (tile + GAP), tile);
  };
  useEffect(() => void (goal && goTo(goal.index)), [goal]);
  useStepKeys((step) => goTo(document.activeElement?.closest?.("[data-index]") ? latest.current + step(columns) : latest.current));
  const pressed = (event) => {
    const picture = listing.at(latest.current);
    if (event.ctrlKey || event.metaKey || event.altKey || !picture) return;
    if (event.key === "Home" || event.key === "End") goTo(event.key === "Home" ? 0 : length - 1);
    else if (event.key === "x") onSelect(picture, event.shiftKey);
    else if (event.key === "f") onFavorite(picture);
    else return;
    event.preventDefault();
  };
  const shown = [];
  for (let index = layout.first * columns; index < Math.min(length, (layout.last + 1) * columns); index += 1) shown.push(index);
  const height = Math.ceil(length / columns) * (tile + GAP);
  return html`<ul class="grid" ref=${ref} style=${{ height: `${height}px` }} aria-label="Pictures" onKeyDown=${pressed}>
    ${shown.map((index) => html`<${Tile} key=${listing.at(index)?.imageId || `gap-${index}`} ...${{ index, query, onSelect, onFavorite, onOpen }} picture=${listing.at(index)} isActive=${index === at} total=${listing.hasMore ? -1 : length}
      isSelected=${selected.has(listing.at(index)?.imageId)} anySelected=${selected.size > 0} onActive=${() => settle(index)}
      place=${{ width: `${tile}px`, height: `${tile}px`, transform: `translate(${(index % columns) * (tile + GAP)}px, ${Math.floor(index / columns) * (tile + GAP)}px)` }} />`)}
  </ul>`;
}

function Tile({ index, picture, place, query, total, isActive, isSelected, anySelected, onSelect, onFavorite, onOpen, onActive }) {
  if (!picture) return html`<li class="shot skeleton" style=${place} data-index=${index} aria-hidden="true"></li>`;
  const tab = isActive ? 0 : -1;
  const name = altOf(picture.prompt);
  const opened = (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    if (anySelected || event.shiftKey) onSelect(picture, event.shiftKey);
    else onOpen(picture);
  };
  return html`<li class=${`shot${isSelected ? " selected" : ""}${anySelected ? " selecting" : ""}`} style=${place} data-index=${index} aria-setsize=${total} aria-posinset=${index + 1} onFocusIn=${onActive}>
    <a href=${addressOf("/studio/gallery", { ...query, picture: picture.imageId })} tabindex=${tab} onClick=${opened}><${Picture} image=${{ ...picture, width: 1, height: 1 }} prompt=${picture.prompt} /></a>
    <input type="checkbox" tabindex=${tab} checked=${isSelected} aria-label=${`Select: ${name}`} onClick=${(event) => onSelect(picture, event.shiftKey)} />
    <button class=${`star${picture.favorite ? " on" : ""}`} tabindex=${tab} aria-pressed=${String(Boolean(picture.favorite))} aria-label=${`Favorite: ${name}`} onClick=${() => onFavorite(picture)}><${Icon} name="star" filled=${picture.favorite} /></button>
  </li>`;
}

/** Keep the layout at what is seen of a list, and the list at what is near to that. */
function useSeenRows(ref, listing, setLayout) {
  const look = useRef(() => {});
  look.current = () => {
    const box = ref.current?.getBoundingClientRect();
    if (!box || !box.width) return;
    const smallest = box.width < 600 ? SMALLEST.narrow : SMALLEST.wide;
    const columns = Math.max(2, Math.floor((box.width + GAP) / (smallest + GAP)));
    const tile = Math.floor((box.width - GAP * (columns - 1)) / columns);
    const rows = Math.max(Math.ceil(listing.length / columns) - 1, 0);
    const seen = (pixels) => Math.floor(pixels / (tile + GAP));
    const first = Math.min(Math.max(seen(-box.top) - BESIDE, 0), rows);
    const last = Math.max(Math.min(seen(innerHeight - box.top) + BESIDE, rows), 0);
    setLayout((was) => (was.columns === columns && was.tile === tile && was.first === first && was.last === last ? was : { columns, tile, first, last }));
    listing.near(first * columns, (last + 1) * columns);
    if (!listing.error && last + AHEAD_ROWS > rows) listing.more();
  };
  useLayoutEffect(() => {
    let frame = 0;
    const later = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => look.current());
    };
    const sized = new ResizeObserver(later);
    sized.observe(ref.current);
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      sized.disconnect();
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, []);
  useLayoutEffect(() => look.current(), [listing, listing.length, listing.busy]);
}

/** Listen for the keys that lead from picture to picture, wherever the focus is, unless somebody types or a dialog is open. */
function useStepKeys(step) {
  const call = useRef(step);
  call.current = step;
  useEffect(() => {
    const pressed = (event) => {
      if (!isFree(event)) return;
      const inGrid = event.target.closest?.(".grid");
      if (!STEPS[event.key] || (event.key.startsWith("Arrow") && !inGrid)) return;
      event.preventDefault();
      call.current(STEPS[event.key]);
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

function reveal(grid, top, tile) {
  const y = grid.getBoundingClientRect().top + top;
  const [above, below] = [88, innerHeight - 96];
  if (y < above) scrollBy(0, y - above);
  else if (y + tile > below) scrollBy(0, y + tile - below);
}
