/** One order that has no picture to show: on its way, failed or canceled, with why, what it cost, and what can be done. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get, post } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { tell, toast } from "../parts/toast.js";
import { Again } from "./again.js";
import { Facts, costText, orderRows, settingRows } from "./details.js";
import { useSettings } from "./draft.js";
import { lookAgain } from "./looking.js";
import { Delete } from "./selection.js";
import { Status, isOver, promptOf } from "./status.js";

const LOOK_AGAIN_MS = 2000;

/** @param {{jobId: string, onClose: () => void, onDeleted: (jobId: string) => void}} props */
export function OrderDialog({ jobId, onClose, onDeleted }) {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const [asking, setAsking] = useState(null);
  useEffect(() => {
    const read = async (signal) => {
      const found = await get(`/api/jobs/${encodeURIComponent(jobId)}`, {}, { signal, keep: true });
      setJob(found);
      return !isOver(found);
    };
    return lookAgain(read, setError, LOOK_AGAIN_MS);
  }, [jobId]);
  const cancel = () => post(`/api/jobs/${jobId}/cancel`).then((found) => { setJob(found); toast(isOver(found) ? "Canceled. Nothing is charged." : "Asked to stop; the provider decides whether it still delivers."); }, tell);
  return html`<${Dialog} title="Order" wide onClose=${onClose}>
    ${error && html`<p class="wrong" role="alert">${error.status === 404 ? "There is no such order: it was deleted, or it was never yours." : error.message}</p>`}
    ${!job && !error && html`<div class="skeleton block" role="status" aria-label="Loading"></div>`}
    ${job && html`
      <p class="prompt" dir="auto">${promptOf(job)}</p>
      <p><${Status} job=${job} /> ${!isOver(job) && html`<span class="hint">${job.message}</span>`}</p>
      ${job.error && html`<div class="reason"><p><strong>${job.error.message}</strong></p><p class="hint">${job.cost ? "" : "Not charged. "}Code: ${job.error.code}</p></div>`}
      <div class="row">
        ${isOver(job) && html`<button class="primary" onClick=${() => setAsking("again")}><${Icon} name="again" />Order again</button>`}
        <button onClick=${() => useSettings(job.config)}>Use all settings</button>
        ${job.images.length > 0 && html`<a class="button" href=${`/studio/gallery?picture=${job.images[0].imageId}`}><${Icon} name="image" />Show the pictures</a>`}
        ${!isOver(job) && html`<button disabled=${job.cancelRequested} onClick=${cancel}>${job.cancelRequested ? "Asked to stop" : "Cancel"}</button>`}
        ${isOver(job) && html`<button onClick=${() => setAsking("delete")}><${Icon} name="trash" />Delete</button>`}
      </div>
      <${Facts} rows=${[["Model", job.model], ...settingRows(job.config), ["Cost", costText(job.cost, job.tokensUsed)], ...orderRows(job)]} />`}
    ${asking === "again" && html`<${Again} jobIds=${[jobId]} onClose=${() => setAsking(null)} onOrdered=${() => { setAsking(null); onClose(); }} />`}
    ${asking === "delete" && html`<${Delete} jobIds=${[jobId]} onClose=${() => setAsking(null)} onDeleted=${(gone) => (gone.length ? onDeleted(jobId) : setAsking(null))} />`}
  </${Dialog}>`;
}
