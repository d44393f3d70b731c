/** Icons: strokes on a grid of 24, in the colour of the text beside them. An icon alone needs a label at its button. */

import { html } from "../../vendor/htm-preact.js";

const PATHS = {
  spark: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8zM19 16l.8 2.2L22 19l-2.2.8L19 22l-.8-2.2L16 19l2.2-.8z",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  stack: "M12 3l9 5-9 5-9-5zM3 12.5l9 5 9-5M3 17l9 5 9-5",
  coins: "M12 7c4.4 0 8-1.1 8-2.5S16.400 2 12 2 4 3.100 4 4.500 7.600 7 12 7zM4 4.500v7.500c0 1.400 3.600 2.500 8 2.500s8-1.100 8-2.500V4.500M4 12v7.500C4 20.900 7.600 22 12 22s8-1.100 8-2.500V12",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c1-3.800 4-5.500 7.500-5.500s6.500 1.700 7.500 5.500",
  key: "M15.500 13a5 5 0 1 0-4.700-3.300L3 17.500V21h3.500l1-1v-2h2v-2h2l1.700-1.700c.7.400 1.500.7 2.300.7zM16.500 8.200v.1",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  check: "M4.500 12.500l5 5 10-11",
  chevron: "M6 9l6 6 6-6",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  up: "M12 19V5M6 11l6-6 6 6",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9.500h.1",
  face: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9 10v.1M15 10v.1M8.500 14.500c1 1.300 2.200 2 3.500 2s2.500-.7 3.500-2",
  frame: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M8 8h8v8H8z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v6M14 11v6",
  again: "M4 12a8 8 0 1 0 2.500-5.800L4 8.500M4 4v4.500h4.500",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.500 8.500v.1M15.500 8.500v.1M12 12v.1M8.500 15.500v.1M15.500 15.500v.1",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  unlock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 6.800-1.200",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  code: "M8.500 7L3.500 12l5 5M15.500 7l5 5-5 5",
  alert: "M12 4l9 16H3zM12 10v4M12 17v.1",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.1",
  star: "M12 3.500l2.600 5.400 5.900.8-4.300 4.100 1.100 5.900L12 16.900l-5.300 2.800 1.100-5.900L3.500 9.700l5.900-.8z",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21",
  external: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.500 2",
  exit: "M10 4H4v16h6M14 8l4 4-4 4M18 12H9",
  tag: "M4 4h8l8.500 8.500-8 8L4 12zM8 8v.1",
  compare: "M12 3v18M4 6h5v12H4zM15 6h5v12h-5z",
  table: "M4 5h16v14H4zM4 10h16M4 14.500h16M10 10v9",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 19.500c.8-3.300 3.300-5 6.500-5s5.700 1.700 6.500 5M16 4.500a3.500 3.500 0 0 1 0 6.500M18 15c1.800.8 3 2.300 3.500 4.500",
  box: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9",
  link: "M9.500 14.500l5-5M11 7l1.500-1.500a4 4 0 0 1 6 6L17 13M13 17l-1.500 1.500a4 4 0 0 1-6-6L7 11",
  list: "M9 6h11M9 12h11M9 18h11M4.500 6v.1M4.500 12v.1M4.500 18v.1",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.500l12 7.500-12 7.500z",
  sliders: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
};

/** @param {{name: keyof typeof PATHS, filled?: boolean}} props */
export function Icon({ name, filled = false }) {
  return html`<svg class=${`icon${filled ? " filled" : ""}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
