/** O7: everybody's webhooks; those whose receivers fail come first. */

import { html } from "../../vendor/htm-preact.js";
import { Empty, Failure } from "../parts/empty.js";
import { countText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { go } from "../router.js";
import { useAnswer, usePages } from "./asking.js";
import { Who } from "./names.js";
import { Heading, Panel, Skeleton } from "./pieces.js";

const PATH = "/api/admin/webhooks";
const FAILING = 100;

export function Webhooks() {
  const failing = useAnswer(PATH, { query: { failing: true, limit: FAILING } });
  const { items, first, error, busy, hasMore, more, reload } = usePages(PATH, { limit: 50 }, "webhooks");
  if (error && !items.length) return html`<${Heading} title="Webhooks" /><${Failure} error=${error} onRetry=${reload} />`;
  if (!first) return html`<${Heading} title="Webhooks" /><${Skeleton} rows=${6} />`;
  if (!items.length) return html`<${Heading} title="Webhooks" /><${Empty} icon="link" title="Nobody has a webhook"><p>Users and keys register their own; what single orders name is at their jobs.</p></${Empty}>`;
  const bad = failing.data?.webhooks || [];
  return html`<${Heading} title="Webhooks" /><div class="stack wide">
    ${failing.error && html`<p class="wrong" role="alert">${failing.error.message}</p>`}
    ${failing.data && (bad.length ? html`<${Panel} title=${`Failing: ${countText(bad.length)}${failing.data.cursor.hasMore ? " or more" : ""}`}><${Listed} endpoints=${bad} caption="Webhooks that fail" /></${Panel}>` : html`<p class="notice good">No receiver fails.</p>`)}
    <${Panel} title="All, newest first"><${Listed} endpoints=${items} caption="All webhooks, newest first" /></${Panel}>
    <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} /></div>`;
}

function Listed({ endpoints, caption }) {
  return html`<${Table} caption=${caption} columns=${COLUMNS} rows=${endpoints} rowKey=${(each) => each.id} onRow=${(each) => go(`/operator/webhooks/${each.id}`)} />`;
}

const COLUMNS = [
  { key: "url", title: "Receiver", cell: (each) => html`<a class="cut" href=${`/operator/webhooks/${each.id}`}>${each.url}</a>` },
  { key: "owner", title: "Owner", cell: (each) => html`<${Owner} owner=${each.owner} />` },
  { key: "events", title: "Events", cell: (each) => html`<code>${each.events.join(" ")}</code>` },
  { key: "status", title: "Status", cell: (each) => html`<${EndpointStatus} endpoint=${each} />` },
  { key: "failures", title: "Failures in a row", number: true, cell: (each) => countText(each.consecutiveFailures) },
  { key: "success", title: "Last success", number: true, cell: (each) => (each.lastSuccessAt ? html`<${Time} at=${each.lastSuccessAt} style="moment" />` : "never") },
];

/** Whose it is: a user, a key, or the operator. */
export function Owner({ owner }) {
  const [kind, ...rest] = owner.split(":");
  return rest.length ? html`<${Who} kind=${kind} id=${rest.join(":")} />` : html`the operator`;
}

export function EndpointStatus({ endpoint }) {
  if (endpoint.status !== "enabled") return html`<span class="tag wrong" title=${endpoint.disabledReason}>${endpoint.status}</span>`;
  return endpoint.failingSince ? html`<span class="tag warn">fails since <${Time} at=${endpoint.failingSince} /></span>` : html`<span class="tag good">enabled</span>`;
}
