/** S7: what was spent and what is left: this month and its budget, each day, each model, and every token that was held, taken or given back. */

import { html, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { DayBars, dayText, daysBetween } from "../parts/day_bars.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { countText, counted, tokensText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { tell, toast } from "../parts/toast.js";
import { change, usePlace } from "../router.js";
import { saveFile } from "../saving.js";
import { balance, session } from "../session.js";
import { useStore } from "../store.js";
import { forecastOf, monthOf } from "./forecast.js";
import { Ledger } from "./ledger.js";
import { useAsked } from "./models.js";

const DAY_MS = 86_400_000;
const PERIODS = new Map([["month", "This month"], ["30", "30 days"], ["90", "90 days"]]);

export function Spend() {
  const { query } = usePlace();
  const who = session.get();
  const period = PERIODS.has(query.period) ? query.period : "month";
  const { found, error, again } = useAsked(() => load(who.userId, period), `${who.userId}-${period}`);
  return html`<div class="stack wide">
    <div class="heading"><h1>Spend</h1><${Exports} userId=${who.userId} period=${period} /></div>
    ${error && html`<${Failure} error=${error} onRetry=${again} />`}
    ${!found && !error && html`<div class="skeleton block" role="status" aria-label="Loading"></div>`}
    ${found && html`<${Month} month=${found.month} budgets=${found.budgets} />
      <section class="stack"><div class="row between"><h2>By day and model</h2>
        <div class="tabs" role="group" aria-label="Period">${[...PERIODS].map(([value, text]) => html`<button key=${value} aria-pressed=${String(period === value)} onClick=${() => change({ period: value === "month" ? "" : value })}>${text}</button>`)}</div></div>
        <${Usage} found=${found} /></section>`}
    ${who.kind === "user" && html`<${Ledger} />`}
  </div>`;
}

function startOf(period) {
  const now = new Date();
  return period === "month" ? monthOf(now).first : new Date(now.getTime() - (Number(period) - 1) * DAY_MS).toISOString().slice(0, 10);
}

async function load(userId, period) {
  const from = startOf(period);
  const ask = (first, groupBy) => get("/api/usage", { userId, from: first, groupBy });
  const [month, days, models, projects, { budgets }] = await Promise.all([
    ask(startOf("month"), "status"), ask(from, "day"), ask(from, "model"), ask(from, "project"), get("/api/usage/budgets", { userId }),
  ]);
  return { month: month.totals, days: days.groups, models: models.groups, projects: projects.groups, totals: days.totals, budgets, from };
}

function Month({ month, budgets }) {
  const left = useStore(balance);
  return html`<section class="figures" aria-label="This month">
    <div class="card figure"><h2>Spent this month</h2><p class="big number">${usdText(month.cost)}</p><p class="hint">${counted(month.images, "picture")} in ${counted(month.jobs, "order")}</p></div>
    ${left && html`<div class="card figure"><h2>Tokens left</h2><p class="big number">${countText(left.balance)}</p><p class="hint">${left.held ? `${tokensText(left.held)} held for what is on its way` : "Nothing is held"}</p></div>`}
    ${budgets.map((budget) => html`<${Budget} key=${budget.scope} budget=${budget} />`)}
  </section>`;
}

function Budget({ budget }) {
  const { monthly, spent, held } = budget;
  const share = monthly ? (spent + held) / monthly : 1;
  const forecast = forecastOf(budget, new Date());
  return html`<div class="card figure"><h2>${budget.scope === "key" ? "Budget of the key" : "Budget"}</h2>
    <p class="big number">${usdText(monthly - spent - held)} <span class="hint">left of ${usdText(monthly)}</span></p>
    <meter aria-label=${`${usdText(spent)} spent, ${usdText(held)} held, of ${usdText(monthly)}`} min="0" max="1" high="0.8" low="0.8" optimum="0" value=${Math.min(1, share)}></meter>
    <p class="hint">${forecast.reachedOn ? html`<span class=${forecast.isSoon ? "wrong" : ""}>At this pace it is used up on ${dayText(forecast.reachedOn)}.</span>` : forecast.isFull ? html`<span class="wrong">It is used up until ${dayText(forecast.renewsOn)}.</span>` : `At this pace ${usdText(forecast.atEnd)} by the end of the month.`}</p>
  </div>`;
}

function Usage({ found }) {
  if (!found.totals.jobs) return html`<${Empty} icon="coins" title="Nothing was spent"><p>No order has ended in this time.</p></${Empty}>`;
  const byDay = new Map(found.days.map((group) => [group.key, group.cost]));
  const days = daysBetween(found.from, new Date().toISOString().slice(0, 10)).map((day) => ({ day, value: byDay.get(day) || 0 }));
  const columns = (title) => [
    { key: "key", title, cell: (row) => row.key || html`<span class="hint">Without</span>` },
    { key: "jobs", title: "Orders", number: true, cell: (row) => countText(row.jobs) },
    { key: "images", title: "Pictures", number: true, cell: (row) => countText(row.images) },
    { key: "cost", title: "Charged", number: true, cell: (row) => usdText(row.cost) },
  ];
  const dearestFirst = (groups) => [...groups].sort((one, other) => other.cost - one.cost);
  const table = (title, groups) => html`<${Table} columns=${columns(title)} rows=${[...dearestFirst(groups), { ...found.totals, key: "Together" }]} rowKey=${(row) => row.key} caption=${`Charged by ${title.toLowerCase()}`} />`;
  return html`<div class="spend-grid"><div class="card"><${DayBars} days=${days} text=${usdText} label="Charged by day" /></div>
    <div class="stack tight">${table("Model", found.models)}
      ${found.projects.some((group) => group.key) && table("Project", found.projects)}
      <p class="hint">Orders count for the day they ended on, in UTC. Failed orders cost nothing.</p></div></div>`;
}

function Exports({ userId, period }) {
  const [busy, setBusy] = useState(false);
  const save = (name, path) => async () => {
    setBusy(true);
    await saveFile(name, "GET", path, { query: { userId, from: startOf(period), format: "csv" } }).then(() => toast(`${name} saved.`), tell);
    setBusy(false);
  };
  return html`<span class="row"><button disabled=${busy} onClick=${save("usage.csv", "/api/usage/export")}><${Icon} name="download" />Usage as CSV</button>
    <button disabled=${busy} onClick=${save("orders.csv", "/api/jobs/export")}><${Icon} name="download" />Orders as CSV</button></span>`;
}
