/** O3: what has failed, by cause, with what it cost; and much of it ordered again at once. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { addressOf } from "../api.js";
import { change, usePlace } from "../router.js";
import { useAnswer } from "./asking.js";
import { Choice } from "./choice.js";
import { Export } from "./export.js";
import { Period, periodIn } from "./period.js";
import { Heading, Skeleton } from "./pieces.js";
import { RetryMany } from "./retry_many.js";

const GROUPINGS = { "code,model": "Code and model", code: "Code", "code,model,message": "And message" };
const USUAL = "code,model";

export function Failures() {
  const { query } = usePlace();
  const groupBy = GROUPINGS[query.by] ? query.by : USUAL;
  const period = periodIn(query);
  const asked = { ...period, groupBy };
  const { data, error, busy, reload } = useAnswer("/api/admin/failures", { query: asked });
  return html`<${Heading} title="Failures"><${Export} path="/api/admin/failures/export" query=${asked} name="failures" /></${Heading}>
    <div class="stack">
      <${Period} query=${query} />
      <${Choice} label="Grouped by" options=${Object.entries(GROUPINGS)} value=${groupBy} onChoose=${(by) => change({ by })} />
      ${error && !data ? html`<${Failure} error=${error} onRetry=${reload} />` : !data ? html`<${Skeleton} rows=${6} />` : html`<${Groups} key=${JSON.stringify(asked)} ...${{ data, busy, groupBy, period }} onDone=${reload} />`}
    </div>`;
}

const nameOf = (group) => [group.code, group.model, group.message].join("\n");

function Groups({ data, busy, groupBy, period, onDone }) {
  const [chosen, setChosen] = useState(() => new Set());
  const [asking, setAsking] = useState(false);
  useEffect(() => setChosen((now) => new Set([...now].filter((name) => data.groups.some((group) => nameOf(group) === name)))), [data]);
  if (!data.groups.length) return html`<${Empty} icon="check" title="Nothing has failed"><p>From ${data.from} to before ${data.to}, by UTC days.</p></${Empty}>`;
  const picked = data.groups.filter((group) => chosen.has(nameOf(group)));
  const toggle = (group) => {
    const next = new Set(chosen);
    if (!next.delete(nameOf(group))) next.add(nameOf(group));
    setChosen(next);
  };
  const canRetry = !groupBy.includes("message");
  const columns = [...(canRetry ? [choosing(chosen, toggle)] : []), ...columnsOf(groupBy, period)];
  return html`<p role="status"><strong>${counted(data.count, "job")}</strong> failed in this period${data.lost > 0 ? html` and cost you <strong>${usdText(data.lost)}</strong>` : ", and cost you nothing"}.${data.leftOut > 0 && ` ${counted(data.leftOut, "more group")} in the export.`}${busy ? " …" : ""}</p>
    <${Table} caption="Failures by cause, most frequent first" columns=${columns} rows=${data.groups} rowKey=${nameOf} />
    ${canRetry ? html`<div class="row"><button disabled=${!picked.length} onClick=${() => setAsking(true)}><${Icon} name="again" />Order again … (${counted(picked.length, "group")}, ${counted(picked.reduce((sum, group) => sum + group.count, 0), "failed job")})</button>
      <span class="hint">It is said first how many and for how much.</span></div>` : html`<p class="hint">To order some again, group them by code and model, or by code.</p>`}
    ${asking && html`<${RetryMany} filters=${picked.map((group) => filterOf(group, period))} onClose=${() => setAsking(false)} onDone=${onDone} />`}`;
}

function choosing(chosen, toggle) {
  return { key: "chosen", title: "Choose", cell: (group) => html`<input type="checkbox" aria-label=${`Choose ${group.code} ${group.model}`} checked=${chosen.has(nameOf(group))} onChange=${() => toggle(group)} />` };
}

function columnsOf(groupBy, period) {
  return [
    { key: "code", title: "Code", cell: (group) => html`<code>${group.code}</code>` },
    groupBy.includes("model") && { key: "model", title: "Model", cell: (group) => html`<span class="nowrap">${group.model}</span>` },
    groupBy.includes("message") && { key: "message", title: "Message", cell: (group) => html`<span class="cut">${group.message}</span>` },
    { key: "count", title: "Jobs", number: true, cell: (group) => html`<a href=${jobsOf(group, period)} aria-label=${`Show ${counted(group.count, "job")}`}>${countText(group.count)}</a>` },
    { key: "lost", title: "Cost you", number: true, cell: (group) => usdText(group.lost) },
    { key: "first", title: "First", number: true, cell: (group) => html`<${Time} at=${group.first} style="moment" />` },
    { key: "last", title: "Last", number: true, cell: (group) => html`<a href=${`/operator/jobs/${group.jobId}`} title="The latest of them"><${Time} at=${group.last} style="moment" /></a>` },
  ].filter(Boolean);
}

const quoted = (text) => (/\s/.test(text) ? `"${text}"` : text);

function jobsOf(group, period) {
  const q = ["status:failed", `code:${quoted(group.code)}`, group.model && `model:${quoted(group.model)}`].filter(Boolean).join(" ");
  return addressOf("/operator/jobs", { q, from: period.from, to: period.to });
}

/** Return the jobs of a group as the API's filter names them. */
function filterOf(group, { from, to }) {
  return { status: "failed", q: `code:${quoted(group.code)}`, ...(group.model ? { model: group.model } : {}), ...(from ? { from } : {}), to };
}
