/** O5: API keys, with what limits them, when they were last used, and what they spend. */

import { html, useState } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { countText, usdText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { SearchBox } from "../parts/search_box.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { change, go, usePlace } from "../router.js";
import { usePages } from "./asking.js";
import { BudgetBar } from "./budget.js";
import { Choice } from "./choice.js";
import { KeyForm } from "./key_form.js";
import { Heading, Skeleton } from "./pieces.js";
import { Secret } from "./secret.js";

const WHICH = [["live", "In use"], ["ended", "Revoked or expired"], ["all", "All"]];
const LIVE = { live: true, ended: "false" };

export function Keys() {
  const { query } = usePlace();
  const which = WHICH.some(([name]) => name === query.which) ? query.which : "live";
  const [adding, setAdding] = useState(false);
  const { items, first, error, busy, hasMore, more, reload } = usePages("/api/admin/keys", { q: query.q, live: LIVE[which], limit: 50 }, "keys");
  const found = () => (items.length ? html`<${Table} caption="API keys, newest first" columns=${COLUMNS} rows=${items} rowKey=${(key) => key.id} onRow=${(key) => go(`/operator/keys/${key.id}`)} />`
    : html`<${Empty} icon="key" title=${query.q || which !== "live" ? "No key is like that" : "No API keys yet"}><p>Scripts and services order with keys.</p></${Empty}>`);
  return html`<${Heading} title="Keys"><button onClick=${() => setAdding(true)}><${Icon} name="plus" />New key</button></${Heading}>
    <div class="stack">
      <${SearchBox} label="Search keys" placeholder="A part of the name, or an id" value=${query.q || ""} />
      <div class="row between"><${Choice} label="Which" options=${WHICH} value=${which} onChoose=${(name) => change({ which: name })} /><a href="/operator/spend?by=key">Who spends most</a></div>
      ${error && !items.length ? html`<${Failure} error=${error} onRetry=${reload} />` : !first ? html`<${Skeleton} rows=${6} />` : found()}
      <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} />
    </div>
    ${adding && html`<${NewKey} onClose=${() => setAdding(false)} onMade=${reload} />`}`;
}

const COLUMNS = [
  { key: "name", title: "Name", cell: (key) => html`<span class="stacked"><a href=${`/operator/keys/${key.id}`}>${key.name}</a>${!key.live && html`<span class="tag wrong">${key.revokedAt ? "Revoked" : "Expired"}</span>`}</span>` },
  { key: "scopes", title: "May", cell: (key) => key.scopes.join(", ") },
  { key: "limits", title: "Limits", cell: (key) => html`<span class="hint">${limitsOf(key).join(" · ") || "none"}</span>` },
  { key: "month", title: "Charged this month", number: true, cell: (key) => usdText(key.month.charged) },
  { key: "jobs", title: "Jobs this month", number: true, cell: (key) => countText(key.month.jobs) },
  { key: "budget", title: "Monthly budget", number: true, cell: (key) => html`<${BudgetBar} budget=${key.budget} />` },
  { key: "used", title: "Last used", number: true, cell: (key) => (key.lastUsedAt ? html`<${Time} at=${key.lastUsedAt} />` : "never") },
];

function limitsOf(key) {
  return [
    key.users.length && `users ${key.users.join(", ")}`,
    key.models.length && `models ${key.models.join(", ")}`,
    key.ipRanges.length && `from ${key.ipRanges.join(", ")}`,
    key.ratePerMinute !== null && `${countText(key.ratePerMinute)} a minute`,
    key.maxCostPerOrder !== null && `${usdText(key.maxCostPerOrder)} an order`,
    key.expiresAt && `until ${key.expiresAt.slice(0, 10)}`,
  ].filter(Boolean);
}

function NewKey({ onClose, onMade }) {
  const [made, setMade] = useState(null);
  if (made) return html`<${Secret} title="The key is made" what=${`The API key "${made.key.name}"`} text=${made.text} onClose=${onClose}>
    <p>Send it as <code>X-API-Key</code>.</p></${Secret}>`;
  const send = async (body) => {
    setMade(await post("/api/admin/keys", body));
    onMade();
  };
  return html`<${Dialog} title="New API key" onClose=${onClose}><${KeyForm} action="Make the key" send=${send} isNew /></${Dialog}>`;
}
