/** O6: models beside fal: where prices are from, how well and fast each works, where it differs; and new ones. */

import { html, useState } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { useDoing } from "./doing.js";
import { ImportModel } from "./model_import.js";
import { Heading, shareText, Skeleton, spanText } from "./pieces.js";

const EVERY_MS = 2000;

export function Models() {
  const everyMs = ({ checked }) => (checked?.state === "running" ? EVERY_MS : 0);
  const { data, error, reload } = useAnswer("/api/admin/models", { everyMs });
  const [adding, setAdding] = useState(false);
  const { busy, act } = useDoing();
  const isRunning = data?.checked?.state === "running";
  const check = async () => {
    await act(() => post("/api/admin/models/check"));
    reload();
  };
  const buttons = html`<span class="row">
    <button disabled=${busy || isRunning || !data} onClick=${check}><${Icon} name="compare" />${isRunning ? `Comparing … ${countText(data.checked.done)}${data.checked.total ? ` of ${countText(data.checked.total)}` : ""}` : "Compare with fal"}</button>
    <button disabled=${!data} onClick=${() => setAdding(true)}><${Icon} name="plus" />Import a model</button></span>`;
  return html`<${Heading} title="Models">${buttons}</${Heading}>
    ${!data ? (error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${8} />`) : html`<div class="stack">
      ${data.problem && html`<p class="notice wrong" role="alert"><span><strong>The model files cannot be read as they are now;</strong> the models before stay in use. ${data.problem}</span></p>`}
      <${Checked} checked=${data.checked} />
      <${Table} caption="Models" columns=${COLUMNS} rows=${data.models} rowKey=${(model) => model.name} />
      <p class="hint">Success, money and jobs are of the last 30 days; p50 and p95 of each model's latest generations.</p>
    </div>`}
    ${adding && html`<${ImportModel} canSave=${data.canSave} onClose=${() => setAdding(false)} onSaved=${reload} />`}`;
}

function Checked({ checked }) {
  if (!checked) return html`<p class="hint">The models were not compared with fal yet.</p>`;
  if (checked.state === "failed") return html`<p class="notice wrong" role="alert">Comparing them with fal did not work: ${checked.message}</p>`;
  if (checked.state === "running") return null;
  return html`<p class="hint" role="status">Compared with fal <${Time} at=${checked.updatedAt} style="moment" />: ${checked.differences ? counted(checked.differences, "difference") : "no difference"}.</p>`;
}

const COLUMNS = [
  { key: "name", title: "Model", cell: (model) => html`<span class="stacked name"><a href=${`/operator/jobs?q=${encodeURIComponent(`model:${model.name}`)}`}>${model.name}</a><code>${model.endpoint}</code>
    ${model.isGone && html`<span class="tag wrong">gone at fal</span>`}${model.isOwn && html`<span class="tag">your own file</span>`}</span>` },
  { key: "price", title: "Price", cell: (model) => html`<${Price} price=${model.price} />` },
  { key: "successRate", title: "Success", number: true, cell: (model) => html`<span class=${model.successRate !== null && model.successRate < 0.9 ? "wrong" : ""}>${shareText(model.successRate)}</span>` },
  { key: "jobs", title: "Jobs", number: true, cell: (model) => countText(model.last30Days.jobs) },
  { key: "p50", title: "p50", number: true, cell: (model) => (model.p50Seconds === null ? "–" : spanText(model.p50Seconds)) },
  { key: "p95", title: "p95", number: true, cell: (model) => (model.p95Seconds === null ? "–" : spanText(model.p95Seconds)) },
  { key: "margin", title: "Margin", number: true, cell: (model) => html`<span class=${model.last30Days.margin < 0 ? "wrong" : ""}>${usdText(model.last30Days.margin)}</span>` },
  { key: "drift", title: "Beside fal", cell: (model) => html`<${Differences} model=${model} />` },
];

function Price({ price }) {
  if (!price) return html`<span class="tag wrong">no price: orders are refused</span>`;
  return html`<span class="stacked"><span class="nowrap">${usdText(price.amount)} ${price.unit === "image" ? "an" : "a"} ${price.unit}</span>
    <span class="hint small">${price.source ? (/^https:/.test(price.source) ? html`<a href=${price.source} target="_blank" rel="noopener noreferrer">read at fal</a>` : price.source) : "your own decision"}${price.checked ? `, ${price.checked}` : ""}</span></span>`;
}

function Differences({ model }) {
  if (!model.drift.length && !model.losses.length) return html`<span class="hint">–</span>`;
  return html`<ul class="stack tight small">${model.drift.map((each) => html`<li key=${each.where}><span class="tag warn">${each.where}</span> ${each.ours} here, ${each.fals} at fal</li>`)}
    ${model.losses.map((text) => html`<li key=${text}><span class="tag wrong">loss</span> ${text}</li>`)}</ul>`;
}
