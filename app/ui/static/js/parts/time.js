/** Times: in the reader's own zone, with UTC in the title. */

import { html } from "../../vendor/htm-preact.js";

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MONTH_DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** @param {{at: string, style?: "moment" | "short" | "day"}} props `short`: the time of today, the day of other days */
export function Time({ at, style = "short" }) {
  if (!at) return null;
  const moment = new Date(at);
  return html`<time class="number" datetime=${at} title=${`${at.replace("T", " ").replace(/(\.\d+)?Z$/, "")} UTC`}>${textOf(moment, style)}</time>`;
}

function textOf(moment, style) {
  if (style === "moment") return MOMENT.format(moment);
  if (style === "day") return DAY.format(moment);
  const now = new Date();
  if (moment.toDateString() === now.toDateString()) return CLOCK.format(moment);
  return moment.getFullYear() === now.getFullYear() ? MONTH_DAY.format(moment) : DAY.format(moment);
}

/** Return how long something took: "4.2 s", "3 min 5 s". */
export function secondsText(seconds) {
  if (seconds < 10) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
