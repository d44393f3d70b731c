/** O8: who changed what, and what came of it. Nothing here can be changed or taken away. */

import { html } from "../../vendor/htm-preact.js";
import { Empty, Failure } from "../parts/empty.js";
import { Pager } from "../parts/pager.js";
import { SearchBox } from "../parts/search_box.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { change, usePlace } from "../router.js";
import { usePages } from "./asking.js";
import { Export } from "./export.js";
import { useNames } from "./names.js";
import { Heading, Skeleton } from "./pieces.js";

const ACTIONS = {
  "user.create": "Account opened", "user.change": "User changed", "tokens.topup": "Tokens added", "budget.set": "Budget set", "budget.remove": "Budget removed",
  "key.create": "Key made", "key.change": "Key changed", "key.revoke": "Key revoked", "job.cancel": "Job canceled", "job.retry": "Job ordered again",
  "job.delete": "Job deleted", "job.refresh": "fal asked about a job", "jobs.retry": "Many jobs ordered again", "costs.reconcile": "fal's bill read",
  "model.import": "Model drafted", "model.save": "Model saved", "webhook.disable": "Webhook stopped", "webhook.redeliver": "Delivery sent again", "webhook.recover": "Webhook caught up",
};
const OUTCOMES = { done: ["Done", "good"], refused: ["Refused", "warn"], failed: ["Failed", "wrong"] };
/** Where what was changed is shown. */
const SCREENS = { user: "users", key: "keys", job: "jobs", webhook: "webhooks", delivery: "deliveries" };

export function AuditLog() {
  const { query } = usePlace();
  const filter = { subject: query.q, action: ACTIONS[query.action] ? query.action : undefined, outcome: OUTCOMES[query.outcome] ? query.outcome : undefined };
  const { items, first, error, busy, hasMore, more, reload } = usePages("/api/admin/audit", { ...filter, limit: 50 }, "entries");
  const set = (name) => (event) => change({ [name]: event.target.value });
  const isNarrowed = Object.values(filter).some(Boolean);
  const found = () => (items.length ? html`<${Table} caption="Changes, newest first" columns=${COLUMNS} rows=${items} rowKey=${(entry) => entry.id} />`
    : html`<${Empty} icon="clock" title=${isNarrowed ? "No change is like that" : "Nobody has changed anything yet"} />`);
  return html`<${Heading} title="Audit"><${Export} path="/api/admin/audit/export" query=${filter} name="audit" /></${Heading}>
    <div class="stack">
      <${SearchBox} label="Search what was changed" placeholder="The whole name: user:…, key:…, job:…, webhook:…" value=${query.q || ""} />
      <div class="row choices">
        <label><span class="unseen">Action</span><select value=${filter.action || ""} onChange=${set("action")}><option value="">Every action</option>${Object.entries(ACTIONS).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select></label>
        <label><span class="unseen">Outcome</span><select value=${filter.outcome || ""} onChange=${set("outcome")}><option value="">Every outcome</option>${Object.entries(OUTCOMES).map(([name, [text]]) => html`<option key=${name} value=${name}>${text}</option>`)}</select></label>
      </div>
      ${error && !items.length ? html`<${Failure} error=${error} onRetry=${reload} />` : !first ? html`<${Skeleton} rows=${8} />` : found()}
      <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} />
    </div>`;
}

const COLUMNS = [
  { key: "at", title: "When", cell: (entry) => html`<span class="nowrap"><${Time} at=${entry.at} style="moment" /></span>` },
  { key: "actor", title: "Who", cell: (entry) => html`<span class="name" title=${entry.actor}>${entry.actorName || entry.actor}</span>` },
  { key: "action", title: "What", cell: (entry) => html`<span class="nowrap">${ACTIONS[entry.action] || entry.action}</span>` },
  { key: "subject", title: "Of", cell: (entry) => html`<${Subject} subject=${entry.subject} />` },
  { key: "details", title: "Asked for", cell: (entry) => html`<${Details} of=${entry.details} />` },
  { key: "outcome", title: "Outcome", cell: (entry) => html`<span class="stacked"><${Outcome} outcome=${entry.outcome} /><${Details} of=${entry.result} /></span>` },
];

function Outcome({ outcome }) {
  const [text, kind] = OUTCOMES[outcome] || ["Not known", "warn"];
  return html`<span class=${`tag ${kind}`} title=${outcome ? null : "It happens just now, or nobody lived to tell"}>${text}</span>`;
}

function Subject({ subject }) {
  const at = subject.indexOf(":");
  const [kind, id] = [subject.slice(0, at), subject.slice(at + 1)];
  const name = useNames(kind, [id])(id);
  const text = name === id ? subject : name;
  return SCREENS[kind] ? html`<a class="cut" href=${`/operator/${SCREENS[kind]}/${encodeURIComponent(id)}`} title=${subject}>${text}</a>` : html`<span class="cut">${subject}</span>`;
}

/** What was asked for, or came of it: a name and a value each; long lists are cut. */
function Details({ of }) {
  const told = Object.entries(of).filter(([, value]) => value !== null);
  if (!told.length) return null;
  return html`<span class="hint cut">${told.map(([name, value]) => `${name}: ${textOf(value)}`).join(" · ")}</span>`;
}

function textOf(value) {
  if (Array.isArray(value)) return value.length > 3 ? `${value.slice(0, 3).join(", ")} and ${value.length - 3} more` : value.join(", ");
  if (value && typeof value === "object") return "from" in value && "to" in value ? `${textOf(value.from)} → ${textOf(value.to)}` : Object.entries(value).map(([name, each]) => `${name} ${textOf(each)}`).join(", ");
  return value === null ? "nothing" : String(value);
}
