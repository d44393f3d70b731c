/** Every change of a balance of tokens, newest first, with the order that made it. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Failure } from "../parts/empty.js";
import { countText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";

const KINDS = { signup: "Welcome", topup: "Added", hold: "Held for an order", capture: "Paid", release: "Given back" };
const AT_ONCE = 20;

export function Ledger() {
  const [kind, setKind] = useState("");
  return html`<section class="stack"><div class="row between"><h2>Tokens</h2>
      <label class="row kind">Show <select value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">everything</option>${Object.entries(KINDS).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label></div>
    <${Entries} key=${kind} kind=${kind} /></section>`;
}

function Entries({ kind }) {
  const [state, setState] = useState({ entries: [], cursor: { hasMore: true }, busy: false, error: null });
  const more = async () => {
    setState((now) => ({ ...now, busy: true, error: null }));
    try {
      const { data } = await get("/api/tokens/history", { type: kind, limit: AT_ONCE, cursor: state.cursor.next });
      setState((now) => ({ entries: [...now.entries, ...data.entries], cursor: data.cursor, busy: false, error: null }));
    } catch (error) {
      setState((now) => ({ ...now, busy: false, error }));
    }
  };
  useEffect(() => void more(), []);
  const { entries, cursor, busy, error } = state;
  const columns = [
    { key: "at", title: "When", cell: (entry) => html`<${Time} at=${entry.createdAt} style="moment" />` },
    { key: "type", title: "What", cell: (entry) => html`<span>${KINDS[entry.type] || entry.type}${entry.notes && html`<span class="hint note">${entry.notes}</span>`}</span>` },
    { key: "job", title: "Order", cell: (entry) => (entry.jobId ? html`<a href=${`/studio/gallery?view=orders&job=${entry.jobId}`}>Show</a>` : html`<span class="hint">—</span>`) },
    { key: "amount", title: "Balance", number: true, cell: (entry) => signed(entry.amount) },
    { key: "held", title: "Held", number: true, cell: (entry) => signed(entry.held) },
  ];
  return html`
    ${error && html`<${Failure} error=${error} onRetry=${more} />`}
    ${entries.length > 0 && html`<${Table} columns=${columns} rows=${entries} rowKey=${(entry) => entry.id} caption="Tokens" />`}
    ${entries.length === 0 && !busy && !error && !cursor.hasMore && html`<p class="hint">Nothing here yet.</p>`}
    <${Pager} hasMore=${cursor.hasMore && !error} busy=${busy} onMore=${more} auto=${false} />`;
}

function signed(amount) {
  if (!amount) return html`<span class="hint">0</span>`;
  return amount > 0 ? `+${countText(amount)}` : `−${countText(-amount)}`;
}
