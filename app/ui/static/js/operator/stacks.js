/** Amounts by day as bars of stacked parts, in SVG of our own. Whoever cannot see them has the table beside them and the export. */

import { html } from "../../vendor/htm-preact.js";
import { dayText } from "../parts/day_bars.js";

const HEIGHT = 180;
const [BAR, GAP] = [18, 6];
/** So many parts have a colour; the rest is one. */
const COLOURS = 6;

/**
 * @param {{days: string[], groups: {day: string, key: string | null, value: number}[], text: (value: number) => string,
 *   nameOf: (key: string | null) => string, label: string}} props the parts that come to most are told apart
 */
export function Stacks({ days, groups, text, nameOf, label }) {
  const parts = partsOf(groups);
  const values = new Map();
  for (const { day, key, value } of groups) {
    const part = Math.min(parts.indexOf(key) < 0 ? COLOURS : parts.indexOf(key), COLOURS);
    const name = `${day}/${part}`;
    values.set(name, (values.get(name) || 0) + value);
  }
  const names = [...parts.map(nameOf), ...(groups.some((group) => !parts.includes(group.key)) ? ["Others"] : [])];
  const sums = days.map((day) => names.reduce((sum, _, part) => sum + (values.get(`${day}/${part < parts.length ? part : COLOURS}`) || 0), 0));
  const most = Math.max(...sums, 0);
  const said = most > 0 ? `${label}: at most ${text(most)}, on ${dayText(days[sums.indexOf(most)])}` : `${label}: nothing`;
  return html`<figure class="stacks">
    <span class="number hint">${text(most)}</span>
    <svg viewBox=${`0 0 ${days.length * (BAR + GAP) - GAP} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${said}>
      ${days.map((day, index) => html`<${Bar} key=${day} ...${{ day, index, names, values, most, text, sum: sums[index], own: parts.length }} />`)}
    </svg>
    <figcaption><span class="row between hint"><span>${dayText(days[0])}</span><span>${dayText(days.at(-1))}</span></span>
      <ul class="legend">${names.map((name, part) => html`<li key=${name}><svg viewBox="0 0 10 10" aria-hidden="true"><rect class=${`part${part < parts.length ? part : COLOURS}`} width="10" height="10" rx="2" /></svg>${name}</li>`)}</ul></figcaption>
  </figure>`;
}

function Bar({ day, index, names, values, most, text, sum, own }) {
  const x = index * (BAR + GAP);
  let top = HEIGHT;
  const told = names.map((name, part) => [name, values.get(`${day}/${part < own ? part : COLOURS}`) || 0, part < own ? part : COLOURS]);
  const rects = told.filter(([, value]) => value > 0).map(([name, value, part]) => {
    const height = (value / (most || 1)) * HEIGHT;
    top -= height;
    return html`<rect key=${name} class=${`part${part}`} x=${x} y=${top} width=${BAR} height=${height} />`;
  });
  const title = [`${dayText(day)}: ${text(sum)}`, ...told.filter(([, value]) => value > 0).map(([name, value]) => `${name}: ${text(value)}`)].join("\n");
  return html`<g><title>${title}</title><rect class="slot" x=${x} y="0" width=${BAR} height=${HEIGHT} />${rects}</g>`;
}

/** Return the keys that come to most, the largest first. */
function partsOf(groups) {
  const sums = new Map();
  for (const { key, value } of groups) sums.set(key, (sums.get(key) || 0) + value);
  return [...sums].filter(([, value]) => value > 0).sort(([, one], [, other]) => other - one).slice(0, COLOURS).map(([key]) => key);
}
