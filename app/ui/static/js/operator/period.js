/** Which days a report is of. They are UTC days, as the service counts them; the period is in the address. */

import { html } from "../../vendor/htm-preact.js";
import { change } from "../router.js";
import { Choice } from "./choice.js";

const DAY_MS = 86_400_000;
const USUAL = "7";
const LENGTHS = { 1: "Today", 7: "7 days", 30: "30 days", 90: "90 days", 365: "A year" };

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/** Return what the API is asked for: `{from, to}`, days, the last one not included. @param {object} query the address's */
export function periodIn(query) {
  const tomorrow = Date.now() + DAY_MS;
  if (query.from || query.to) return { from: query.from || undefined, to: query.to ? dayAfter(query.to) : dayOf(tomorrow) };
  return { from: dayOf(tomorrow - Number(lengthIn(query)) * DAY_MS), to: dayOf(tomorrow) };
}

function lengthIn(query) {
  return LENGTHS[query.days] ? query.days : USUAL;
}

function dayAfter(day) {
  const moment = Date.parse(`${day}T00:00:00Z`);
  return Number.isNaN(moment) ? day : dayOf(moment + DAY_MS);
}

/** @param {{query: object}} props */
export function Period({ query }) {
  const isOwn = Boolean(query.from || query.to);
  const { from, to } = periodIn(query);
  const last = to && dayOf(Date.parse(`${to}T00:00:00Z`) - DAY_MS);
  const set = (name) => (event) => change({ from, to: last, days: "", [name]: event.target.value });
  return html`<div class="period row">
    <${Choice} label="Period" options=${Object.entries(LENGTHS)} value=${isOwn ? "" : lengthIn(query)} onChoose=${(days) => change({ days, from: "", to: "" })} />
    <span class="row days"><label><span class="unseen">First day, UTC</span><input type="date" value=${from || ""} max=${last} onChange=${set("from")} /></label>–
      <label><span class="unseen">Last day, UTC</span><input type="date" value=${last || ""} min=${from} onChange=${set("to")} /></label></span>
  </div>`;
}
