/** Plots in SVG of our own: read at a glance, and by those who cannot see them from their table or list. */

import { html } from "../../vendor/htm-preact.js";

/** A list of bars that lie. @param {{rows: {label: string, value: number, text: string, href?: string}[]}} props the largest fills the width */
export function Bars({ rows }) {
  const most = Math.max(...rows.map((row) => row.value), 0) || 1;
  return html`<ul class="bars">${rows.map((row) => html`<li key=${row.label}>
    <span class="row between">${row.href ? html`<a href=${row.href}>${row.label}</a>` : html`<span>${row.label}</span>`}<span class="number">${row.text}</span></span>
    <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="4" /><rect class="value" width=${Math.max(0, (row.value / most) * 100)} height="4" /></svg>
  </li>`)}</ul>`;
}
