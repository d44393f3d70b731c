/** All orders, also those that failed or are on their way, a page at a time: where in the list it is, is in the address. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { countText, priceText, usdText } from "../parts/money.js";
import { Picture, altOf } from "../parts/picture.js";
import { Time } from "../parts/time.js";
import { change } from "../router.js";
import { session } from "../session.js";
import { asQuery } from "./filters.js";
import { lookAgain } from "./looking.js";
import { NothingFound, NothingYet } from "./nothing.js";
import { Lightbox } from "./lightbox.js";
import { OrderDialog } from "./order_dialog.js";
import { SelectionBar, useSelection } from "./selection.js";
import { Status, isOver, promptOf } from "./status.js";

const AT_ONCE = 50;
const LOOK_AGAIN_MS = 3000;

/** Read a page of orders anew while some of them are on their way. */
export function useOrders(query) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  const address = JSON.stringify(query);
  useEffect(() => {
    let asked = query;
    const read = async (signal) => {
      const page = await get("/api/jobs", asked, { signal });
      setFound((before) => ({ ...before, ...page }));
      setError(null);
      asked = { ...query, count: undefined }; // How many there are is counted once.
      return page.jobs.some((job) => !isOver(job));
    };
    return lookAgain(read, setError, LOOK_AGAIN_MS);
  }, [address, round]);
  return { found, error, again: () => setRound((now) => now + 1), change: (call) => setFound((now) => now && { ...now, jobs: call(now.jobs) }) };
}

export function Orders({ filters, query }) {
  const wanted = { ...asQuery(filters, session.get()?.userId), limit: AT_ONCE, cursor: query.at, count: "true" };
  const { found, error, again, change: changeJobs } = useOrders(wanted);
  const selection = useSelection();
  if (error && !found) return html`<${Failure} error=${error} onRetry=${error.status === 400 && query.at ? () => change({ at: "" }) : again} />`;
  if (!found) return html`<div class="skeleton block" role="status" aria-label="Loading"></div>`;
  const { jobs, cursor } = found;
  if (!jobs.length && !cursor.hasMore && !query.at) return Object.keys(filters).length ? html`<${NothingFound} />` : html`<${NothingYet} />`;
  const deleted = (jobIds) => {
    changeJobs((now) => now.filter((job) => !jobIds.includes(job.jobId)));
    selection.drop((entry) => jobIds.includes(entry.jobId));
  };
  const noted = (jobId, notes) => changeJobs((now) => now.map((job) => (job.jobId === jobId ? { ...job, ...notes } : job)));
  return html`
    <${SelectionBar} selection=${selection} onDeleted=${deleted} word="order" />
    <p class="hint" role="status">${totalText(found, Object.keys(filters).length > 0)}</p>
    <${OrderTable} jobs=${jobs} selection=${selection} onOpen=${(job) => change(job.images.length ? { picture: job.images[0].imageId } : { job: job.jobId }, { replace: false })} />
    ${(query.at || cursor.hasMore) && html`<nav class="row between" aria-label="Pages">
      <button disabled=${!query.at} onClick=${() => change({ at: cursor.previous || "" }, { replace: false })}><${Icon} name="left" />Newer</button>
      <button disabled=${!cursor.hasMore} onClick=${() => change({ at: cursor.next }, { replace: false })}>Older<${Icon} name="right" /></button>
    </nav>`}
    ${query.picture && html`<${Lightbox} imageId=${query.picture} onShow=${() => {}} onClose=${() => change({ picture: "" })} onNoted=${noted} onDeleted=${(jobId) => { change({ picture: "" }); deleted([jobId]); }} />`}
    ${query.job && html`<${OrderDialog} jobId=${query.job} onClose=${() => change({ job: "" })} onDeleted=${(jobId) => { change({ job: "" }); deleted([jobId]); }} />`}`;
}

function totalText({ total, totalIsExact }, isNarrowed) {
  return `${totalIsExact ? "" : "More than "}${countText(total)} ${total === 1 ? "order" : "orders"}${isNarrowed ? " with these filters" : " in all"}`;
}

/** @param {{jobs: object[], selection?: object, onOpen: (job: object) => void}} props */
export function OrderTable({ jobs, selection, onOpen }) {
  const entry = (job) => ({ key: job.jobId, jobId: job.jobId, imageIds: job.images.map((image) => image.imageId) });
  const ended = jobs.filter(isOver);
  const all = ended.length > 0 && ended.every((job) => selection?.entries.has(job.jobId));
  return html`<div class="table-frame"><table class="orders">
    <caption class="unseen">Orders</caption>
    <thead><tr>
      ${selection && html`<th><input type="checkbox" aria-label="Select all on this page" checked=${all} onClick=${() => (all ? selection.clear() : selection.set([...selection.entries.values(), ...ended.map(entry)]))} /></th>`}
      <th scope="col">Order</th><th scope="col">Model</th><th scope="col">Status</th><th scope="col" class="number">Pictures</th><th scope="col" class="number">Cost</th><th scope="col">When</th></tr></thead>
    <tbody>${jobs.map((job) => html`<tr key=${job.jobId}>
      ${selection && html`<td class="check"><input type="checkbox" disabled=${!isOver(job)} aria-label=${`Select: ${altOf(job.config.inputs.prompt)}`} checked=${selection.entries.has(job.jobId)} onClick=${() => selection.toggle(entry(job))} /></td>`}
      <td class="what"><button class="link what" onClick=${() => onOpen(job)}>
        <span class="thumb">${job.images[0] ? html`<${Picture} key=${job.images[0].imageId} image=${{ ...job.images[0], width: 1, height: 1 }} prompt="" />` : html`<${Icon} name=${job.status === "failed" ? "alert" : "image"} />`}</span>
        <span class="words" dir="auto">${promptOf(job)}</span></button></td>
      <td data-title="Model">${job.model}</td>
      <td data-title="Status"><span><${Status} job=${job} />${job.error && html`<span class="hint why">${job.error.message}</span>`}</span></td>
      <td class="number" data-title="Pictures">${job.images.length}</td>
      <td class="number" data-title="Cost">${job.cost ? html`<span title=${usdText(job.cost)}>${priceText({ cost: job.cost, tokens: job.tokensUsed })}</span>` : job.status === "failed" || job.status === "canceled" ? "Not charged" : "—"}</td>
      <td data-title="When"><${Time} at=${job.createdAt} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}
