/** S6: batches, newest first: how far each is, what it has cost, what failed. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { countText, counted, usdText } from "../parts/money.js";
import { Pager } from "../parts/pager.js";
import { Time } from "../parts/time.js";
import { tell } from "../parts/toast.js";
import { session } from "../session.js";
import { lookAgain } from "./looking.js";
import { Status, isOver } from "./status.js";

const AT_ONCE = 20;
const LOOK_AGAIN_MS = 3000;

export function Batches() {
  const { batches, cursor, error, busy, more, again } = useBatches();
  return html`<div class="stack">
    <div class="heading"><h1>Batches</h1><a class="button primary" href="/studio/batches/new"><${Icon} name="plus" />New batch</a></div>
    ${error && !batches && html`<${Failure} error=${error} onRetry=${again} />`}
    ${!batches && !error && html`<div class="skeleton block" role="status" aria-label="Loading"></div>`}
    ${batches?.length === 0 && html`<${Empty} icon="stack" title="No batches yet"><p>A batch is many orders at once: a table of prompts, with the price before you order.</p><p><a class="button primary" href="/studio/batches/new">Make the first one</a></p></${Empty}>`}
    ${batches?.length > 0 && html`<ul class="batches">${batches.map((batch) => html`<${Row} key=${batch.batchId} batch=${batch} />`)}</ul>`}
    <${Pager} hasMore=${Boolean(cursor?.hasMore)} busy=${busy} onMore=${more} />
  </div>`;
}

function Row({ batch }) {
  const total = totalOf(batch);
  return html`<li><a class="card batch" href=${`/studio/batches/${batch.batchId}`}>
    <span class="row between"><strong class="number">${counted(total, "order")}</strong><${Status} job=${batch} /></span>
    <${Progress} batch=${batch} />
    <span class="row between small"><span><${Money} batch=${batch} /></span>
      <span class="row">${batch.counts.failed > 0 && html`<span class="wrong number">${countText(batch.counts.failed)} failed</span>`}<span class="hint"><${Time} at=${batch.createdAt} style="moment" /></span></span></span>
  </a></li>`;
}

/** What is done of a batch, the failed part told apart. @param {{batch: object}} props */
export function Progress({ batch }) {
  const total = totalOf(batch) || 1;
  const { completed, failed, canceled } = batch.counts;
  const label = `${completed} of ${total} completed${failed ? `, ${failed} failed` : ""}${canceled ? `, ${canceled} canceled` : ""}`;
  return html`<span class="bar" role="img" aria-label=${label} title=${label}>
    <span class="done" style=${{ width: `${(100 * completed) / total}%` }}></span><span class="bad" style=${{ width: `${(100 * failed) / total}%` }}></span><span class="off" style=${{ width: `${(100 * canceled) / total}%` }}></span>
  </span>`;
}

/** What a batch has cost, of what it may. */
export function Money({ batch }) {
  return html`<span class="number">${usdText(batch.cost)} <span class="hint">of ${usdText(batch.maxCost ?? batch.estimatedCost)}</span></span>`;
}

export function totalOf(batch) {
  return Object.values(batch.counts).reduce((sum, count) => sum + count, 0);
}

function useBatches() {
  const [state, setState] = useState({ batches: null, cursor: null, error: null, busy: false });
  const [round, setRound] = useState(0);
  const query = { userId: session.get().userId, limit: AT_ONCE };
  useEffect(() => {
    const read = async (signal) => {
      const page = await get("/api/batches", query, { signal });
      setState((now) => merged(now, page));
      return page.batches.some((batch) => !isOver(batch));
    };
    return lookAgain(read, (error) => setState((now) => ({ ...now, error })), LOOK_AGAIN_MS);
  }, [round]);
  const more = async () => {
    setState((now) => ({ ...now, busy: true }));
    try {
      const page = await get("/api/batches", { ...query, cursor: state.cursor.next });
      setState((now) => ({ ...now, busy: false, batches: [...now.batches, ...page.batches], cursor: page.cursor }));
    } catch (error) {
      tell(error);
      setState((now) => ({ ...now, busy: false }));
    }
  };
  return { ...state, more, again: () => setRound((now) => now + 1) };
}

/** Put a newer first page before what was read beyond it. */
function merged(now, page) {
  const fresh = new Set(page.batches.map((batch) => batch.batchId));
  const older = (now.batches || []).filter((batch) => !fresh.has(batch.batchId));
  return { batches: [...page.batches, ...older], cursor: older.length ? now.cursor : page.cursor, error: null, busy: false };
}
