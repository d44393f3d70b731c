/** One webhook, what it was sent, and what can be done about it. */

import { html, useState } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { change, go, usePlace } from "../router.js";
import { useAnswer, usePages } from "./asking.js";
import { Choice } from "./choice.js";
import { useDoing } from "./doing.js";
import { Facts, Heading, Panel, Skeleton } from "./pieces.js";
import { EndpointStatus, Owner } from "./webhooks.js";

const STATUSES = [["", "All"], ["failed", "Given up"], ["pending", "Waiting"], ["delivered", "Delivered"], ["dropped", "Dropped"]];
const DAY_MS = 86_400_000;

/** @param {{endpointId: string}} props */
export function WebhookPage({ endpointId }) {
  const path = `/api/admin/webhooks/${encodeURIComponent(endpointId)}`;
  const { data: endpoint, error, reload } = useAnswer(path);
  const [turn, setTurn] = useState(0);
  const changed = () => {
    reload();
    setTurn(turn + 1);
  };
  if (!endpoint) return html`<${Heading} title="Webhook" />${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${6} />`}`;
  return html`<p class="small"><a href="/operator/webhooks">All webhooks</a></p>
    <${Heading} title=${endpoint.url} long><${EndpointStatus} endpoint=${endpoint} /></${Heading}>
    <div class="stack wide">
      <${Actions} path=${path} endpoint=${endpoint} onChanged=${changed} />
      <${Facts} facts=${[
        ["Owner", html`<${Owner} owner=${endpoint.owner} />`],
        ["Events", html`<code>${endpoint.events.join(" ")}</code>`],
        ["Description", endpoint.description],
        ["Given up", endpoint.disabledReason],
        ["Fails since", endpoint.failingSince && html`<${Time} at=${endpoint.failingSince} style="moment" />`],
        ["Failures in a row", endpoint.consecutiveFailures || null],
        ["Last success", endpoint.lastSuccessAt ? html`<${Time} at=${endpoint.lastSuccessAt} style="moment" />` : "never"],
        ["Made", html`<${Time} at=${endpoint.createdAt} style="moment" />`],
      ]} />
      <${Panel} title="Deliveries"><${Sent} key=${turn} path=${path} /></${Panel}>
    </div>`;
}

function Actions({ path, endpoint, onChanged }) {
  const [asking, setAsking] = useState(null);
  const [days, setDays] = useState("3");
  const { busy, act } = useDoing();
  const close = () => setAsking(null);
  const run = (work, text) => async () => {
    if (await act(work, text)) onChanged();
    close();
  };
  const since = () => new Date(Date.now() - Number(days) * DAY_MS).toISOString();
  return html`<div class="row" role="group" aria-label="Actions">
    <button disabled=${busy} onClick=${() => setAsking("recover")}><${Icon} name="again" />Send again what was given up …</button>
    ${endpoint.status === "enabled" && html`<button disabled=${busy} onClick=${() => setAsking("disable")}><${Icon} name="lock" />Stop it …</button>`}
    ${asking === "recover" && html`<${Confirm} title="Send again what was given up?" action="Send it again" busy=${busy} onClose=${close}
      onYes=${run(() => post(`${path}/recover`, { since: since() }), ({ requeued }) => `${counted(requeued, "delivery").replace(/ys$/, "ies")} sent again.`)}>
      <p>All deliveries that were given up are sent once more, oldest first, each under the id it has.</p>
      <label>Of the last<select value=${days} onChange=${(event) => setDays(event.target.value)}>${[["1", "day"], ["3", "3 days"], ["7", "7 days"], ["30", "30 days"]].map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label></${Confirm}>`}
    ${asking === "disable" && html`<${Confirm} title="Stop this webhook?" action="Stop it" danger busy=${busy} onYes=${run(() => post(`${path}/disable`), "Stopped.")} onClose=${close}>
      <p>It is sent nothing until its owner enables it again; what waits for it is given up.</p></${Confirm}>`}
  </div>`;
}

function Sent({ path }) {
  const { query } = usePlace();
  const status = STATUSES.some(([name]) => name === query.status) ? query.status : "";
  const { items, first, error, busy, hasMore, more } = usePages(`${path}/deliveries`, { status, jobId: query.job, limit: 50 }, "deliveries");
  return html`<${Choice} label="Status" options=${STATUSES} value=${status} onChoose=${(name) => change({ status: name })} />
    ${error && html`<p class="wrong" role="alert">${error.message}</p>`}
    ${first && (items.length ? html`<${Table} caption="Deliveries, newest first" columns=${COLUMNS} rows=${items} rowKey=${(each) => each.id} onRow=${(each) => go(`/operator/deliveries/${each.id}`)} />` : html`<p class="hint">None.</p>`)}
    <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} />`;
}

const COLUMNS = [
  { key: "createdAt", title: "Made", cell: (each) => html`<a href=${`/operator/deliveries/${each.id}`}><${Time} at=${each.createdAt} style="moment" /></a>` },
  { key: "type", title: "Event" },
  { key: "jobId", title: "Job", cell: (each) => (each.jobId ? html`<code>${each.jobId}</code>` : "–") },
  { key: "status", title: "Status", cell: (each) => html`<span class="stacked"><span class=${`tag ${{ delivered: "good", failed: "wrong" }[each.status] || ""}`}>${each.status}</span>${each.reason && html`<span class="hint cut">${each.reason}</span>`}</span>` },
  { key: "statusCode", title: "Answer", number: true, cell: (each) => each.statusCode ?? "–" },
  { key: "attemptCount", title: "Attempts", number: true },
];
