/** Where fal's bill differs from what was expected; and having it read. */

import { html } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { useDoing } from "./doing.js";
import { Export } from "./export.js";
import { Panel } from "./pieces.js";

const PATH = "/api/admin/costs/reconcile";
const EVERY_MS = 2000;

export function Drift() {
  const everyMs = ({ run }) => (run?.state === "running" ? EVERY_MS : 0);
  const { data, error, reload } = useAnswer(PATH, { everyMs });
  const { busy, act } = useDoing();
  const run = data?.run;
  const isRunning = run?.state === "running";
  const start = async () => {
    await act(() => post(PATH, {}));
    reload();
  };
  const aside = html`<span class="row">${run?.drift.length > 0 && html`<${Export} path="/api/admin/costs/drift/export" name="drift" />`}
    <button disabled=${busy || isRunning || !data} onClick=${start}><${Icon} name="again" />${isRunning ? `Reading … ${countText(run.done)}${run.total ? ` of ${countText(run.total)}` : ""}` : "Reconcile now"}</button></span>`;
  return html`<${Panel} title="fal's bill beside what was expected" aside=${aside}>
    ${error && html`<p class="wrong" role="alert">${error.message}</p>`}
    ${data && !run && html`<p class="hint">fal's bill was not read yet. Reconciling reads it for the orders of the last 30 days, and corrects what they cost.</p>`}
    ${run && html`<${Told} run=${run} />`}</${Panel}>`;
}

function Told({ run }) {
  if (run.state === "failed") return html`<p class="notice wrong" role="alert"><span><strong>It did not work.</strong> ${run.message}</span></p>`;
  if (run.state === "running") return html`<p role="status"><progress max=${run.total || undefined} value=${run.total ? run.done : undefined} aria-label="Reading fal's bill"></progress></p>`;
  const over = run.invoiced - run.quoted;
  return html`<p role="status"><${Time} at=${run.updatedAt} style="moment" />: fal has billed <strong>${usdText(run.invoiced)}</strong> for ${counted(run.invoicedJobs, "job")} that were expected to cost <strong>${usdText(run.quoted)}</strong>${over > 0 ? html`: <strong class="wrong">${usdText(over)} more</strong>` : over < 0 ? `: ${usdText(-over)} less` : ", as expected"}.
      ${counted(run.disagreeing, "job")} ${run.disagreeing === 1 ? "differs" : "differ"}; ${countText(run.missing)} ${run.missing === 1 ? "is" : "are"} not on the bill, or not yet.</p>
    ${run.drift.length > 0 && html`<${Table} caption="Jobs that differ" columns=${COLUMNS} rows=${run.drift} rowKey=${(row) => row.jobId} />`}
    ${run.leftOut > 0 && html`<p class="hint">${counted(run.leftOut, "more job")} differ.</p>`}`;
}

const known = (value) => (value === null ? "–" : usdText(value));
const COLUMNS = [
  { key: "jobId", title: "Job", cell: (row) => html`<a href=${`/operator/jobs/${row.jobId}`}><code>${row.jobId}</code></a>` },
  { key: "model", title: "Model" },
  { key: "endedAt", title: "Ended", cell: (row) => html`<${Time} at=${row.endedAt} style="moment" />` },
  { key: "quoted", title: "Expected", number: true, cell: (row) => usdText(row.quoted) },
  { key: "units", title: "By units", number: true, cell: (row) => known(row.units) },
  { key: "invoiced", title: "Billed", number: true, cell: (row) => (row.missing.length ? html`<span class="tag warn">not on the bill</span>` : known(row.invoiced)) },
  { key: "drift", title: "Overcharged", number: true, cell: (row) => html`<span class=${row.drift > 0 ? "wrong" : ""}>${known(row.drift)}</span>` },
];
