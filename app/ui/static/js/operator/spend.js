/** O4: what was charged, paid and billed: by day, model, user, key and project. */

import { html } from "../../vendor/htm-preact.js";
import { Empty, Failure } from "../parts/empty.js";
import { daysBetween } from "../parts/day_bars.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { change, usePlace } from "../router.js";
import { useAnswer } from "./asking.js";
import { Choice } from "./choice.js";
import { Drift } from "./drift.js";
import { Export } from "./export.js";
import { Forecast } from "./forecast.js";
import { useNames, Who } from "./names.js";
import { Period, periodIn } from "./period.js";
import { Heading, Panel, Skeleton, Tile } from "./pieces.js";
import { Stacks } from "./stacks.js";

const BY = { model: "Model", user: "User", key: "API key", project: "Project", day: "Day" };
const STACKED = 1000;
const DAY_MS = 86_400_000;

export function Spend() {
  const { query } = usePlace();
  const by = BY[query.by] ? query.by : "model";
  const period = periodIn(query);
  const { data, error, busy, reload } = useAnswer("/api/admin/spend", { query: { ...period, groupBy: by } });
  return html`<${Heading} title="Spend"><span class="row"><${Export} path="/api/admin/spend/export" query=${{ ...period, groupBy: by === "day" ? "day" : `day,${by}` }} name=${`spend-by-${by}`} /></span></${Heading}>
    <div class="stack wide">
      <${Period} query=${query} />
      ${error && !data ? html`<${Failure} error=${error} onRetry=${reload} />` : !data ? html`<${Skeleton} tiles=${6} rows=${6} />` : html`<${Totals} totals=${data.totals} />
        <${Days} period=${period} by=${by === "day" ? "model" : by} range=${data} />
        <div class="panel"><div class="row between"><${Choice} label="By" options=${Object.entries(BY)} value=${by} onChoose=${(name) => change({ by: name })} />${busy && html`<span class="hint">…</span>`}</div>
          <${Groups} data=${data} by=${by} /></div>`}
      <${Forecast} />
      <${Drift} />
    </div>`;
}

function Totals({ totals }) {
  return html`<ul class="tiles" aria-label="In this period">
    <${Tile} label="Charged to users" value=${usdText(totals.charged)} hint=${`${counted(totals.completed, "job")} completed, ${countText(totals.failed)} failed`} />
    <${Tile} label="Paid to fal" value=${usdText(totals.paid)} hint=${totals.lost > 0 ? `${usdText(totals.lost)} of it for jobs that failed` : "by the best figure there is"} />
    <${Tile} label="Margin" value=${usdText(totals.margin)} hint=${totals.charged > 0 ? `${Number(((totals.margin / totals.charged) * 100).toFixed(1))} % of what is charged` : ""} tone=${totals.margin < 0 ? "wrong" : ""} />
    <${Tile} label="On fal's bill" value=${totals.billedJobs ? usdText(totals.billed) : "not read yet"} hint=${totals.billedJobs ? billText(totals) : "reconcile it below"} tone=${totals.drift > 0 ? "wrong" : ""} />
  </ul>`;
}

function billText({ billedJobs, drift }) {
  const said = drift > 0 ? `${usdText(drift)} more than expected` : drift < 0 ? `${usdText(-drift)} less than expected` : "as expected";
  return `${said}, of ${counted(billedJobs, "job")}`;
}

function Days({ period, by, range }) {
  const { data } = useAnswer("/api/admin/spend", { query: { ...period, groupBy: `day,${by}`, limit: STACKED } });
  const nameOf = useNames(by, data ? [...new Set(data.groups.map((group) => group.key))] : []);
  if (!data) return html`<div class="skeleton block"></div>`;
  const last = new Date(Date.parse(`${range.to}T00:00:00Z`) - DAY_MS).toISOString().slice(0, 10);
  if (!data.groups.length) return null;
  const groups = data.groups.map((group) => ({ day: group.day, key: group.key, value: group.charged }));
  return html`<${Panel} title=${`Charged by day and ${BY[by].toLowerCase().replace("api", "API")}`}><div class="card">
    <${Stacks} days=${daysBetween(range.from, last)} groups=${groups} text=${usdText} nameOf=${(key) => (key === null ? without(by) : nameOf(key))} label="Charged by day" />
    ${data.leftOut > 0 && html`<p class="hint">Without ${counted(data.leftOut, "small group")}, which are in the export.</p>`}</div></${Panel}>`;
}

const without = (by) => (by === "key" ? "Without a key" : by === "project" ? "Without a project" : "None");

function Groups({ data, by }) {
  if (!data.groups.length) return html`<${Empty} icon="coins" title="Nothing was spent in this period" />`;
  const amount = (key, title) => ({ key, title, number: true, cell: (group) => usdText(group[key]) });
  const columns = [
    { key: "key", title: BY[by], cell: (group) => html`<${Key} group=${group} by=${by} />` },
    { key: "jobs", title: "Jobs", number: true, cell: (group) => countText(group.jobs) },
    { key: "failed", title: "Failed", number: true, cell: (group) => countText(group.failed) },
    { key: "images", title: "Images", number: true, cell: (group) => countText(group.images) },
    amount("charged", "Charged"),
    amount("paid", "Paid to fal"),
    { key: "margin", title: "Margin", number: true, cell: (group) => html`<span class=${group.margin < 0 ? "wrong" : ""}>${usdText(group.margin)}</span>` },
    { key: "billed", title: "Billed", number: true, cell: (group) => (group.billedJobs ? usdText(group.billed) : "–") },
    { key: "drift", title: "Overcharged", number: true, cell: (group) => (group.billedJobs ? usdText(group.drift) : "–") },
  ];
  const rows = by === "day" ? data.groups : [...data.groups].sort((one, other) => other.charged - one.charged || other.paid - one.paid);
  return html`<${Table} caption=${`Spend by ${BY[by]}`} columns=${columns} rows=${rows} rowKey=${(group) => group.key ?? group.day ?? ""} />
    ${data.leftOut > 0 && html`<p class="hint">${counted(data.leftOut, "more")}, charged ${usdText(data.others.charged)} in all, in the export.</p>`}`;
}

function Key({ group, by }) {
  if (by === "day") return html`<span class="nowrap">${group.day}</span>`;
  if (group.key === null) return html`<span class="hint">${without(by)}</span>`;
  if (by === "user" || by === "key") return html`<${Who} kind=${by} id=${group.key} />`;
  const below = by === "model" && group.margin < 0 ? html` <span class="tag wrong">below cost</span>` : "";
  return html`<span>${by === "model" ? html`<a href=${`/operator/jobs?q=${encodeURIComponent(`model:${group.key}`)}`}>${group.key}</a>` : group.key}${below}</span>`;
}
