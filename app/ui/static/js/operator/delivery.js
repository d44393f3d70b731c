/** One delivery: what was sent, and what came of each attempt. */

import { html } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { useDoing } from "./doing.js";
import { Facts, Heading, Panel, Skeleton } from "./pieces.js";

/** @param {{deliveryId: string}} props */
export function DeliveryPage({ deliveryId }) {
  const path = `/api/admin/deliveries/${encodeURIComponent(deliveryId)}`;
  const { data: found, error, reload } = useAnswer(path);
  const { busy, act } = useDoing();
  if (!found) return html`<${Heading} title="Delivery" />${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${6} />`}`;
  const again = async () => {
    if (await act(() => post(`${path}/redeliver`), "It is sent again, under the same id.")) reload();
  };
  return html`<p class="small">${found.endpointId ? html`<a href=${`/operator/webhooks/${found.endpointId}`}>Its webhook</a>` : "The webhook of a single order"}</p>
    <${Heading} title=${found.type}><span class="tag">${found.status}</span></${Heading}>
    <div class="stack wide">
      <div class="row"><button disabled=${busy} onClick=${again}><${Icon} name="again" />Send this delivery again</button></div>
      <${Facts} facts=${[
        ["Id", html`<code>${found.id}</code>`],
        ["Receiver", html`<code>${found.url}</code>`],
        ["Job", found.jobId && html`<a href=${`/operator/jobs/${found.jobId}`}><code>${found.jobId}</code></a>`],
        ["Why", found.reason],
        ["Made", html`<${Time} at=${found.createdAt} style="moment" />`],
        ["Next attempt", found.nextAt && html`<${Time} at=${found.nextAt} style="moment" />`],
      ]} />
      <${Panel} title="Attempts">${found.attempts.length ? html`<${Table} caption="The last attempts" columns=${ATTEMPTS} rows=${found.attempts} rowKey=${(each) => each.at} />` : html`<p class="hint">None yet.</p>`}</${Panel}>
      <${Panel} title="What is sent"><pre class="raw" tabindex="0" role="region" aria-label="What is sent">${pretty(found.body)}</pre></${Panel}>
    </div>`;
}

const ATTEMPTS = [
  { key: "at", title: "When", cell: (each) => html`<${Time} at=${each.at} style="moment" />` },
  { key: "statusCode", title: "Answer", cell: (each) => each.statusCode ?? html`<span class="wrong">${each.error}</span>` },
  { key: "latencyMs", title: "Took", number: true, cell: (each) => `${each.latencyMs} ms` },
  { key: "snippet", title: "It said", cell: (each) => html`<code class="cut">${each.responseSnippet || "–"}</code>` },
];

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
