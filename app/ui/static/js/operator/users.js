/** O5: everybody who uses the service, with what they have and what they spend. */

import { html, useState } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { countText, tokensText, usdText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { SearchBox } from "../parts/search_box.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { change, go, usePlace } from "../router.js";
import { usePages } from "./asking.js";
import { BudgetBar } from "./budget.js";
import { Choice } from "./choice.js";
import { sentenceOf } from "./doing.js";
import { Heading, Skeleton } from "./pieces.js";
import { Secret } from "./secret.js";

const SORTS = [["spend", "Most spent this month"], ["newest", "Newest"], ["balance", "Highest balance"], ["address", "By address"]];

export function Users() {
  const { query } = usePlace();
  const sort = SORTS.some(([name]) => name === query.sort) ? query.sort : query.q ? "newest" : "spend";
  const [adding, setAdding] = useState(false);
  const { items, first, error, busy, hasMore, more, reload } = usePages("/api/admin/users", { q: query.q, sort, limit: 50 }, "users");
  return html`<${Heading} title="Users"><button onClick=${() => setAdding(true)}><${Icon} name="plus" />New account</button></${Heading}>
    <div class="stack">
      <${SearchBox} label="Search users" placeholder="A part of the address, or an id" value=${query.q || ""} />
      <${Choice} label="Order" options=${SORTS} value=${sort} onChoose=${(name) => change({ sort: name })} />
      ${error && !items.length ? html`<${Failure} error=${error} onRetry=${reload} />` : !first ? html`<${Skeleton} rows=${8} />` : html`<${Found} items=${items} query=${query} sort=${sort} />`}
      <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} />
    </div>
    ${adding && html`<${NewUser} onClose=${() => setAdding(false)} onMade=${reload} />`}`;
}

function Found({ items, query, sort }) {
  if (items.length) return html`<${Table} caption="Users" columns=${COLUMNS} rows=${items} rowKey=${(user) => user.id} onRow=${(user) => go(`/operator/users/${encodeURIComponent(user.id)}`)} />`;
  if (query.q) return html`<${Empty} icon="people" title="Nobody is like that" />`;
  return html`<${Empty} icon="people" title=${sort === "spend" ? "Nobody was charged anything this month" : "No accounts yet"}>
    ${sort === "spend" && html`<p><button onClick=${() => change({ sort: "newest" })}>Show all accounts</button></p>`}</${Empty}>`;
}

const COLUMNS = [
  { key: "who", title: "User", cell: (user) => html`<a href=${`/operator/users/${encodeURIComponent(user.id)}`}>${user.email || user.id}</a>` },
  { key: "kind", title: "Account", cell: (user) => html`<${AccountTags} user=${user} />` },
  { key: "month", title: "Charged this month", number: true, cell: (user) => usdText(user.month.charged) },
  { key: "jobs", title: "Jobs this month", number: true, cell: (user) => countText(user.month.jobs) },
  { key: "balance", title: "Balance", number: true, cell: (user) => (user.registered ? tokensText(user.balance) : "–") },
  { key: "budget", title: "Monthly budget", number: true, cell: (user) => html`<${BudgetBar} budget=${user.budget} />` },
  { key: "createdAt", title: "Since", number: true, cell: (user) => (user.createdAt ? html`<${Time} at=${user.createdAt} style="day" />` : "–") },
];

export function AccountTags({ user }) {
  if (!user.registered) return html`<span class="tag" title="Only scripts have named this user">No account</span>`;
  return html`<span class="row">${user.role === "admin" && html`<span class="tag accent">Administrator</span>`}${user.disabled && html`<span class="tag wrong">Disabled</span>`}${user.role !== "admin" && !user.disabled && html`<span class="tag">User</span>`}</span>`;
}

function NewUser({ onClose, onMade }) {
  const [form, setForm] = useState({ email: "", role: "user" });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const sent = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    await post("/api/admin/users", { email: form.email.trim(), role: form.role }).then((found) => { setMade(found); onMade(); }, setError);
    setBusy(false);
  };
  if (made) return html`<${Secret} title="The account is open" what=${`The password of ${made.user.email}`} text=${made.password} onClose=${onClose}>
    <p>Tell it to its user, who changes it after the first sign-in.</p></${Secret}>`;
  return html`<${Dialog} title="New account" onClose=${onClose}><form class="stack" onSubmit=${sent}>
    <label>Email<input type="email" required autocomplete="off" value=${form.email} onInput=${(event) => setForm({ ...form, email: event.target.value })} /></label>
    <label class="check"><input type="checkbox" checked=${form.role === "admin"} onChange=${(event) => setForm({ ...form, role: event.target.checked ? "admin" : "user" })} />Administrator: sees and changes everything</label>
    ${error && html`<p class="wrong" role="alert">${sentenceOf(error)}</p>`}
    <button class="primary" disabled=${busy || !form.email.trim()}>Open the account</button></form></${Dialog}>`;
}
