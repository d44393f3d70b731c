/** O2: everybody's jobs, found by one box. */

import { html, useMemo } from "../../vendor/htm-preact.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { SearchBox } from "../parts/search_box.js";
import { Table } from "../parts/table.js";
import { secondsText, Time } from "../parts/time.js";
import { change, go, usePlace } from "../router.js";
import { usePages } from "./asking.js";
import { Choice } from "./choice.js";
import { Export } from "./export.js";
import { Who } from "./names.js";
import { Heading, Skeleton } from "./pieces.js";
import { promptOf, Status } from "../studio/status.js";
import { Trouble } from "./trouble.js";

const DAY_MS = 86_400_000;
const PER_PAGE = 50;
/** What is asked for often. Each narrows what the box finds. */
const VIEWS = {
  "": ["All", () => ({})],
  failed: ["Failed, last 24 h", () => ({ status: "failed", from: minuteBefore(DAY_MS) })],
  unknown: ["Unknown outcome", () => ({ q: "code:unknown_outcome" })],
  dear: ["Costs 1 USD or more", () => ({ minCost: 1 })],
  attention: ["Needs attention", () => ({ attention: true })],
};
const WORDS = ["user:", "model:", "status:", "code:", "key:", "batch:", "fal:", "id:"];

function minuteBefore(ms) {
  return new Date(Math.floor((Date.now() - ms) / 60_000) * 60_000).toISOString();
}

export function Jobs() {
  const { query } = usePlace();
  const view = VIEWS[query.view] ? query.view : "";
  const filter = useMemo(() => filterOf(view, query), [view, query.q, query.from, query.to]);
  const { items, first, error, busy, hasMore, more, reload } = usePages("/api/admin/jobs", { ...filter, limit: PER_PAGE, count: true }, "jobs");
  return html`<${Heading} title="Jobs"><${Export} path="/api/admin/jobs/export" query=${filter} name="jobs" /></${Heading}>
    <div class="stack">
      <${SearchBox} label="Search in everybody's jobs" placeholder="user:ada status:failed red bicycle" value=${query.q || ""} />
      <p class="hint small words">Words of the prompt, and ${WORDS.map((word) => html`<code key=${word}>${word}</code> `)}</p>
      <${Choice} label="Views" options=${Object.entries(VIEWS).map(([name, [text]]) => [name, text])} value=${view} onChoose=${(name) => change({ view: name })} />
      ${(query.from || query.to) && html`<p><button class="chip" onClick=${() => change({ from: "", to: "" })}>${query.from && `Ordered from ${query.from}`} ${query.to && `to before ${query.to}`} (UTC)<${Icon} name="close" /><span class="unseen">Take away</span></button></p>`}
      ${error && !items.length ? html`<${Failure} error=${error} onRetry=${reload} />` : !first ? html`<${Skeleton} rows=${10} />` : html`<${Found} ...${{ items, first, busy, query }} />`}
      ${error && items.length > 0 && html`<p class="wrong" role="alert">${error.message}</p>`}
      <${Pager} hasMore=${hasMore} busy=${busy} onMore=${more} />
    </div>`;
}

/** Return what the API is asked for: the box, the view and a time together. */
function filterOf(view, { q: text, from, to }) {
  const asked = { ...VIEWS[view][1](), ...(from ? { from } : {}), to };
  const q = [text, asked.q].filter(Boolean).join(" ");
  return { ...asked, q: q || undefined };
}

function Found({ items, first, busy, query }) {
  if (!items.length) {
    const isNarrowed = query.q || query.view || query.from || query.to;
    return html`<${Empty} icon="list" title=${isNarrowed ? "No job is like that" : "No jobs yet"}>
      ${isNarrowed && html`<p><button onClick=${() => change({ q: "", view: "", from: "", to: "" })}>Show all jobs</button></p>`}</${Empty}>`;
  }
  return html`<p class="hint" role="status">${first.totalIsExact ? counted(first.total, "job") : `${countText(first.total)} jobs or more`}${busy ? " …" : ""}</p>
    <${Table} caption="Jobs, newest first" columns=${COLUMNS} rows=${items} rowKey=${(job) => job.jobId} onRow=${open} />`;
}

function open(job) {
  if (getSelection()?.toString()) return; // Somebody selects text to copy it.
  go(`/operator/jobs/${job.jobId}`);
}

const COLUMNS = [
  { key: "at", title: "Ordered", cell: (job) => html`<span class="nowrap"><${Time} at=${job.createdAt} /></span>` },
  { key: "prompt", title: "Prompt", cell: (job) => html`<a class="cut" href=${`/operator/jobs/${job.jobId}`}>${promptOf(job)}</a>` },
  { key: "user", title: "User", cell: (job) => html`<span class="cut" onClick=${(event) => event.stopPropagation()}><${Who} kind="user" id=${job.userId} /></span>` },
  { key: "model", title: "Model", cell: (job) => html`<span class="nowrap">${job.model}</span>` },
  { key: "status", title: "Status", cell: (job) => html`<span class="stacked"><${Status} job=${job} /><${Trouble} trouble=${job.trouble} />${job.error && html`<code>${job.error.code}</code>`}</span>` },
  { key: "images", title: "Images", number: true, cell: (job) => countText(job.images.length) },
  { key: "cost", title: "Charged", number: true, cell: (job) => usdText(job.cost) },
  { key: "paid", title: "Paid to fal", number: true, cell: (job) => paidText(job.costDetail) },
  { key: "took", title: "Took", number: true, cell: (job) => (job.processingTimeMs === null ? "–" : secondsText(job.processingTimeMs / 1000)) },
];

/** Return what fal takes, as well as it is known; an expected figure is marked. */
function paidText({ actual, estimated }) {
  return actual === null ? `≈ ${usdText(estimated)}` : usdText(actual);
}
