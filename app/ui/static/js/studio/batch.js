/** One batch: its orders, what failed and how to place that again, its pictures and its table as files. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get, post } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted } from "../parts/money.js";
import { Time } from "../parts/time.js";
import { tell, toast } from "../parts/toast.js";
import { change, go, usePlace } from "../router.js";
import { saveFile } from "../saving.js";
import { Again } from "./again.js";
import { Money, Progress, totalOf } from "./batches.js";
import { lookAgain } from "./looking.js";
import { OrderDialog } from "./order_dialog.js";
import { OrderTable, useOrders } from "./orders.js";
import { Status, isOver } from "./status.js";
import { MOST } from "./selection.js";

const AT_ONCE = 50;
const LOOK_AGAIN_MS = 2500;

export function Batch({ id }) {
  const { query } = usePlace();
  const { batch, error, again } = useBatch(id);
  const [asking, setAsking] = useState(null);
  const [saving, setSaving] = useState(null);
  if (error && !batch) return html`<${Failure} error=${error.status === 404 ? new Error("There is no such batch, or it was never yours.") : error} onRetry=${again} />`;
  if (!batch) return html`<div class="skeleton block" role="status" aria-label="Loading"></div>`;
  const { counts } = batch;
  const file = (name, path, options) => async () => {
    setSaving(name);
    await saveFile(name, "GET", path, options).then(() => toast(`${name} saved.`), tell);
    setSaving(null);
  };
  const [zip, csv] = [`batch-${id}.zip`, `batch-${id}.csv`];
  return html`<div class="stack">
    <p><a href="/studio/batches">All batches</a></p>
    <div class="heading"><h1>${counted(totalOf(batch), "order")} <${Status} job=${batch} /></h1>
      <span class="row">
        ${counts.failed > 0 && isOver(batch) && html`<button class="primary" onClick=${() => setAsking("retry")}><${Icon} name="again" />Retry ${counts.failed} failed</button>`}
        ${!isOver(batch) && html`<button disabled=${batch.cancelRequested} onClick=${() => setAsking("cancel")}>${batch.cancelRequested ? "Asked to stop" : "Cancel the rest"}</button>`}
        ${counts.completed > 0 && html`<a class="button" href=${`/studio/gallery?batch=${id}`}><${Icon} name="grid" />Pictures</a>
          <button disabled=${saving === zip} onClick=${file(zip, `/api/batches/${id}/archive`)}><${Icon} name="download" />Zip</button>`}
        <button disabled=${saving === csv} onClick=${file(csv, "/api/jobs/export", { query: { batchId: id, userId: batch.userId, format: "csv" } })}><${Icon} name="table" />CSV</button>
      </span>
    </div>
    <div class="card stack tight"><${Progress} batch=${batch} />
      <p class="row between"><${Money} batch=${batch} /><span class="hint">${counts.completed} completed · ${counts.failed} failed · ${counts.canceled} canceled · ${counts.pending + counts.processing} to come</span></p>
      <p class="hint">Ordered <${Time} at=${batch.createdAt} style="moment" /></p></div>
    <${Rows} batch=${batch} query=${query} />
    ${asking === "retry" && html`<${RetryFailed} batch=${batch} onClose=${() => setAsking(null)} />`}
    ${asking === "cancel" && html`<${Cancel} id=${id} onClose=${() => setAsking(null)} onDone=${again} />`}
  </div>`;
}

function Rows({ batch, query }) {
  const { found, error, again, change: changeJobs } = useOrders({ batchId: batch.batchId, userId: batch.userId, status: query.status, limit: AT_ONCE, cursor: query.at });
  const open = (job) => (job.images.length ? go("/studio/gallery", { batch: batch.batchId, picture: job.images[0].imageId }) : change({ job: job.jobId }, { replace: false }));
  const only = (status) => change({ status, at: "" });
  return html`<div class="tabs status-tabs" role="group" aria-label="Orders">
      ${[["", "All"], ["completed", "Completed"], ["failed", "Failed"]].map(([status, text]) => html`<button key=${status} aria-pressed=${String((query.status || "") === status)} onClick=${() => only(status)}>${text}</button>`)}
    </div>
    ${error && !found && html`<${Failure} error=${error} onRetry=${again} />`}
    ${found?.jobs.length === 0 && html`<p class="hint">No orders here.</p>`}
    ${found?.jobs.length > 0 && html`<${OrderTable} jobs=${found.jobs} onOpen=${open} />`}
    ${found && (query.at || found.cursor.hasMore) && html`<nav class="row between" aria-label="Pages">
      <button disabled=${!query.at} onClick=${() => change({ at: found.cursor.previous || "" })}><${Icon} name="left" />Newer</button>
      <button disabled=${!found.cursor.hasMore} onClick=${() => change({ at: found.cursor.next })}>Older<${Icon} name="right" /></button></nav>`}
    ${query.job && html`<${OrderDialog} jobId=${query.job} onClose=${() => change({ job: "" })} onDeleted=${(jobId) => { change({ job: "" }); changeJobs((now) => now.filter((job) => job.jobId !== jobId)); }} />`}`;
}

/** All failed orders of a batch as a new one: their ids are read first, then their price. */
function RetryFailed({ batch, onClose }) {
  const [ids, setIds] = useState(null);
  useEffect(() => void failedIds(batch).then(setIds, (error) => { tell(error); onClose(); }), []);
  if (!ids) return null;
  return html`<${Again} jobIds=${ids} title="Retry what failed?" onClose=${onClose} onOrdered=${(batchId) => { onClose(); go(`/studio/batches/${batchId}`); }} />`;
}

async function failedIds(batch) {
  const found = [];
  for (let cursor; found.length < MOST; ) {
    const page = await get("/api/jobs", { batchId: batch.batchId, userId: batch.userId, status: "failed", limit: 100, cursor });
    found.push(...page.jobs.map((job) => job.jobId));
    cursor = page.cursor.next;
    if (!cursor) break;
  }
  return found.slice(0, MOST).reverse();
}

function Cancel({ id, onClose, onDone }) {
  const [busy, setBusy] = useState(false);
  const yes = async () => {
    setBusy(true);
    await post(`/api/batches/${id}/cancel`).catch(tell);
    onClose();
    onDone();
  };
  return html`<${Confirm} title="Cancel the rest?" action="Cancel the rest" danger busy=${busy} onYes=${yes} onClose=${onClose}>
    <p>What has not begun is canceled and free. What the provider is working on may still be delivered, and is charged then.</p>
  </${Confirm}>`;
}

function useBatch(id) {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    const read = async (signal) => {
      const batch = await get(`/api/batches/${encodeURIComponent(id)}`, {}, { signal });
      setState({ batch });
      return !isOver(batch);
    };
    return lookAgain(read, (error) => setState((now) => ({ ...now, error })), LOOK_AGAIN_MS);
  }, [id, round]);
  return { ...state, again: () => setRound((now) => now + 1) };
}
