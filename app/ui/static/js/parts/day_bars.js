/** Amounts by day as upright bars, in SVG of our own. Who cannot see them reads the sum and the highest day. */

import { html } from "../../vendor/htm-preact.js";

const HEIGHT = 160;
const [BAR, GAP] = [18, 6];
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });

/** Return a UTC day, "2026-11-26", in the reader's words. */
export function dayText(day) {
  return DAY.format(new Date(`${day}T00:00:00Z`));
}

/** Return each UTC day from the first to the last. */
export function daysBetween(first, last) {
  const found = [];
  for (let at = Date.parse(`${first}T00:00:00Z`); at <= Date.parse(`${last}T00:00:00Z`); at += 86_400_000) found.push(new Date(at).toISOString().slice(0, 10));
  return found;
}

/** @param {{days: {day: string, value: number}[], text: (value: number) => string, label: string}} props `text` says an amount in words */
export function DayBars({ days, text, label }) {
  const most = Math.max(...days.map((each) => each.value), 0);
  const top = most || 1;
  const highest = days.find((each) => each.value === most);
  const said = most ? `${label}: at most ${text(most)}, on ${dayText(highest.day)}` : `${label}: nothing`;
  const width = days.length * (BAR + GAP) - GAP;
  return html`<figure class="day-bars">
    <span class="number hint most">${text(most)}</span>
    <svg viewBox=${`0 0 ${width} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${said}>
      ${days.map((each, index) => {
        const height = each.value ? Math.max(2, (each.value / top) * HEIGHT) : 0;
        return html`<g key=${each.day}><title>${dayText(each.day)}: ${text(each.value)}</title>
          <rect class="slot" x=${index * (BAR + GAP)} y="0" width=${BAR} height=${HEIGHT} /><rect class="value" x=${index * (BAR + GAP)} y=${HEIGHT - height} width=${BAR} height=${height} /></g>`;
      })}
    </svg>
    <figcaption class="row between hint"><span>${dayText(days[0].day)}</span><span>${dayText(days.at(-1).day)}</span></figcaption>
  </figure>`;
}
