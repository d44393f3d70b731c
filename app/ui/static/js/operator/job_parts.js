/** What is shown of one job, part by part. */

import { html } from "../../vendor/htm-preact.js";
import { counted, tokensText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { Clock, Facts } from "./pieces.js";
import { Status } from "../studio/status.js";

const MOMENTS = {
  ordered: "Ordered",
  posting: "Posted to fal",
  taken: "Taken by fal",
  ended: "Ended at fal",
  collected: "Pictures stored",
  cancel_requested: "Cancel asked for",
  cancel_heard: "fal has heard of the cancel",
  finished: "Finished",
};
const SOURCES = { estimate: "expected", units: "by fal's units", invoice: "by fal's bill" };

export function Timeline({ moments }) {
  return html`<ol class="timeline">${moments.map((moment, index) => html`<li key=${index} class=${moment.what}>
    <${Clock} at=${moment.at} /><span>${MOMENTS[moment.what] || moment.text}${moment.request === null ? "" : html` <span class="hint">request ${moment.request + 1}</span>`}${moment.what === "finished" && moment.text ? `: ${moment.text}` : ""}</span>
  </li>`)}</ol>`;
}

export function FalRequests({ requests }) {
  if (!requests.length) return html`<p class="hint">fal was not asked yet.</p>`;
  const columns = [
    { key: "index", title: "No.", cell: (each) => each.index + 1 },
    { key: "requestId", title: "Request id", cell: (each) => (each.requestId ? html`<code>${each.requestId}</code>` : html`<span class="hint">none</span>`) },
    { key: "state", title: "State", cell: (each) => html`<span class="stacked"><span class="tag">${each.state}</span>${each.error && html`<code>${each.error.code}</code>`}</span>` },
    { key: "attempts", title: "Posted", cell: (each) => counted(each.attempts, "time") },
    { key: "numImages", title: "Images", number: true },
    { key: "units", title: "Units billed", number: true, cell: (each) => each.billableUnits || "–" },
    { key: "seed", title: "Seed", number: true, cell: (each) => each.seed || "–" },
    { key: "ended", title: "Ended", number: true, cell: (each) => (each.endedAt ? html`<${Clock} at=${each.endedAt} />` : each.nextAt ? html`<span class="hint">looked at <${Clock} at=${each.nextAt} /></span>` : "–") },
  ];
  return html`<${Table} caption="Requests at fal" columns=${columns} rows=${requests} rowKey=${(each) => each.index} />`;
}

export function JobMoney({ file }) {
  const { money, ledger, job } = file;
  const known = (value) => (value === null ? null : usdText(value));
  return html`<${Facts} facts=${[
    ["Quoted to its user", usdText(money.quoted)],
    ["Held", money.tokensHeld > 0 && tokensText(money.tokensHeld)],
    ["Charged", html`<strong>${usdText(money.charged)}</strong>${money.tokensUsed > 0 && ` (${tokensText(money.tokensUsed)})`}`],
    ["fal was expected to take", usdText(money.expected)],
    ["By the units of its results", known(money.units)],
    ["fal takes", html`<strong>${money.actual === null ? "not known yet" : usdText(money.actual)}</strong> <span class="hint">${SOURCES[money.source] || money.source}</span>`],
    ["Margin", money.actual !== null && usdText(money.charged - money.actual)],
    ["Price", html`<code>${money.priceId}</code>`],
    ["Budgets", money.budgets.length > 0 && money.budgets.join(", ")],
    ["Settled", money.settlement === "done" ? "yes" : job.completedAt ? money.settlement : "when it has ended"],
  ]} />
  ${ledger.length > 0 && html`<${Table} caption="Ledger entries" columns=${LEDGER} rows=${ledger} rowKey=${(entry) => entry.id} />`}`;
}

const signed = (count) => (count > 0 ? `+${tokensText(count)}` : tokensText(count));
/** How entries of a ledger are shown, here and beside a user. */
export const LEDGER = [
  { key: "createdAt", title: "When", cell: (entry) => html`<${Time} at=${entry.createdAt} style="moment" />` },
  { key: "type", title: "What" },
  { key: "amount", title: "Balance", number: true, cell: (entry) => (entry.amount ? signed(entry.amount) : "–") },
  { key: "held", title: "Held", number: true, cell: (entry) => (entry.held ? signed(entry.held) : "–") },
  { key: "notes", title: "Notes", cell: (entry) => entry.notes || "–" },
];

export function Deliveries({ deliveries }) {
  if (!deliveries.length) return html`<p class="hint">Nobody is told of this job.</p>`;
  const columns = [
    { key: "type", title: "Event", cell: (each) => html`<a href=${`/operator/deliveries/${each.id}`}>${each.type}</a>` },
    { key: "url", title: "Receiver", cell: (each) => html`<code>${each.url}</code>` },
    { key: "status", title: "Status", cell: (each) => `${each.status}${each.statusCode ? ` (${each.statusCode})` : ""}` },
    { key: "attemptCount", title: "Attempts", number: true },
  ];
  return html`<${Table} caption="Deliveries" columns=${columns} rows=${deliveries} rowKey=${(each) => each.id} />`;
}

export function Retries({ file }) {
  if (!file.retries.length) return html`<p class="hint">It was not ordered again.</p>`;
  const columns = [
    { key: "at", title: "Ordered", cell: (each) => html`<a href=${`/operator/jobs/${each.jobId}`}><${Time} at=${each.createdAt} style="moment" /></a>` },
    { key: "status", title: "Status", cell: (each) => html`<${Status} job=${each} />` },
    { key: "cost", title: "Charged", number: true, cell: (each) => usdText(each.cost) },
  ];
  return html`<${Table} caption="Retries" columns=${columns} rows=${file.retries} rowKey=${(each) => each.jobId} />`;
}
