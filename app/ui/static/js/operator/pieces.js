/** Small pieces that many of the operator's screens are made of. */

import { html } from "../../vendor/htm-preact.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** A screen's title, and what acts on all of it. `long`: words of a user, of any length. */
export function Heading({ title, long = false, children }) {
  return html`<div class=${`heading${long ? " long" : ""}`}><h1>${title}</h1>${children}</div>`;
}

/** @param {{title: string, aside?: any, children: any}} props */
export function Panel({ title, aside, children }) {
  return html`<section class="panel"><header class="row between"><h2>${title}</h2>${aside}</header>${children}</section>`;
}

/** A figure that is read at a glance. @param {{label: string, value: string, hint?: string, href?: string, tone?: "" | "wrong"}} props */
export function Tile({ label, value, hint, href, tone = "" }) {
  const inside = html`<span class="label">${label}</span><strong class=${`number ${tone}`}>${value}</strong>${hint && html`<span class="hint">${hint}</span>`}`;
  return html`<li class="tile-figure">${href ? html`<a href=${href}>${inside}</a>` : html`<div>${inside}</div>`}</li>`;
}

/** What is there before the first answer: of the same shape, so that nothing jumps. */
export function Skeleton({ tiles = 0, rows = 6 }) {
  const many = (count, kind) => Array.from({ length: count }, (_, index) => html`<div key=${index} class=${`skeleton ${kind}`}></div>`);
  return html`<div class="stack wide" aria-busy="true" aria-label="Loading">${tiles > 0 && html`<div class="tiles">${many(tiles, "figure")}</div>`}<div class="stack tight">${many(rows, "line")}</div></div>`;
}

/** The time of day with its seconds. */
export function Clock({ at }) {
  return html`<time class="number" datetime=${at} title=${`${at} UTC`}>${CLOCK.format(new Date(at))}</time>`;
}

/** Return a span of time as people say it: "0 s", "4.2 s", "3 min", "5 h", "2 days". */
export function spanText(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** Return a share: "97.3 %". */
export function shareText(share) {
  return share === null ? "–" : `${Number((share * 100).toFixed(1))} %`;
}

/** What is known of one thing: a name and a value each; what has no value is left out. @param {{facts: [name: string, value: any][]}} props */
export function Facts({ facts }) {
  const told = facts.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "");
  return html`<dl class="facts">${told.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
