/** Many pictures, or orders, at once: saved as one file, deleted, ordered again, two compared. */

import { html, useRef, useState } from "../../vendor/htm-preact.js";
import { remove } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { counted } from "../parts/money.js";
import { tell, toast } from "../parts/toast.js";
import { saveFile } from "../saving.js";
import { Again } from "./again.js";
import { Compare } from "./compare.js";

/** The service's own bound of one zip, and of one batch. */
export const MOST = 500;

/** Return what is selected: `entries` by key, each `{key, jobId, imageIds, picture?}`. */
export function useSelection() {
  const [entries, setEntries] = useState(() => new Map());
  const last = useRef(null);
  const set = (next) => {
    if (next.size > MOST) return toast(`${MOST} can be selected at once.`, { kind: "wrong" });
    return setEntries(next);
  };
  return {
    entries,
    last: last.current,
    toggle(entry, range = []) {
      const next = new Map(entries);
      if (range.length) for (const each of range) next.set(each.key, each);
      else if (next.has(entry.key)) next.delete(entry.key);
      else next.set(entry.key, entry);
      last.current = entry.key;
      set(next);
    },
    set: (list) => set(new Map(list.map((entry) => [entry.key, entry]))),
    drop: (wanted) => setEntries((now) => new Map([...now].filter(([, entry]) => !wanted(entry)))),
    clear: () => setEntries(new Map()),
  };
}

/** @param {{selection: ReturnType<typeof useSelection>, onDeleted: (jobIds: string[]) => void, word?: string}} props */
export function SelectionBar({ selection, onDeleted, word = "picture" }) {
  const [asking, setAsking] = useState(null);
  const [saving, setSaving] = useState(false);
  const entries = [...selection.entries.values()];
  const jobIds = [...new Set(entries.map((entry) => entry.jobId))];
  const imageIds = entries.flatMap((entry) => entry.imageIds);
  const pair = entries.length === 2 && entries.every((entry) => entry.picture) ? entries.map((entry) => entry.picture) : null;
  const close = () => setAsking(null);
  const zip = async () => {
    setSaving(true);
    await saveFile("pictures.zip", "POST", "/api/images/archive", { body: { imageIds } }).then(() => toast(`${counted(imageIds.length, "picture")} saved.`), tell);
    setSaving(false);
  };
  if (!entries.length) return null;
  return html`<div class="selection" role="region" aria-label="Selection">
    <button class="quiet square" aria-label="Select nothing" onClick=${selection.clear}><${Icon} name="close" /></button>
    <strong role="status">${counted(entries.length, word)} selected</strong>
    <span class="row">
      <button disabled=${saving || imageIds.length === 0 || imageIds.length > MOST} onClick=${zip}><${Icon} name="download" />${saving ? "Saving …" : "Download zip"}</button>
      ${pair && html`<button onClick=${() => setAsking("compare")}><${Icon} name="compare" />Compare</button>`}
      <button onClick=${() => setAsking("again")}><${Icon} name="again" />Order again</button>
      <button onClick=${() => setAsking("delete")}><${Icon} name="trash" />Delete</button>
    </span>
    ${asking === "compare" && html`<${Compare} pictures=${pair} onClose=${close} />`}
    ${asking === "again" && html`<${Again} jobIds=${jobIds} onClose=${close} onOrdered=${() => { close(); selection.clear(); }} />`}
    ${asking === "delete" && html`<${Delete} jobIds=${jobIds} onClose=${close} onDeleted=${(gone) => { close(); onDeleted(gone); }} />`}
  </div>`;
}

/** Ask, then delete orders one after the other; what could not be deleted is told, and stays. */
export function Delete({ jobIds, onClose, onDeleted }) {
  const [done, setDone] = useState(null);
  const yes = async () => {
    const gone = [];
    const failures = [];
    for (const jobId of jobIds) {
      setDone(gone.length);
      await remove(`/api/jobs/${jobId}`).then(() => gone.push(jobId), (error) => (error.status === 410 || error.status === 404 ? gone.push(jobId) : failures.push(error)));
      if (failures.some((error) => error.status === 0 || error.status === 401)) break;
    }
    if (failures.length) tell(failures[0]);
    if (gone.length) toast(`${counted(gone.length, "order")} deleted.`);
    onDeleted(gone);
  };
  const action = done === null ? `Delete ${counted(jobIds.length, "order")}` : `Deleting ${done + 1} of ${jobIds.length} …`;
  return html`<${Confirm} title="Delete for good?" action=${action} danger busy=${done !== null} onYes=${yes} onClose=${onClose}>
    <p>Orders are deleted whole, with every picture of theirs, also those that are not selected. Nobody can bring them back. What they cost stays in your spending.</p>
  </${Confirm}>`;
}
