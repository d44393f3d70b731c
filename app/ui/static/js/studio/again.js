/** Ended orders once more, as a new batch: the price is asked for first, and the batch may cost no more than that. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { newKey, post } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { counted, priceText } from "../parts/money.js";
import { toast } from "../parts/toast.js";
import { go } from "../router.js";
import { refreshBalance, session } from "../session.js";

/** How many refused orders are named. */
const NAMED = 5;

/** @param {{jobIds: string[], title?: string, onClose: () => void, onOrdered: (batchId: string) => void}} props */
export function Again({ jobIds, title = "Order again?", onClose, onOrdered }) {
  const [price, setPrice] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const key = useRef(newKey());
  const body = { items: jobIds.map((jobId) => ({ jobId })), userId: session.get().userId };
  useEffect(() => void post("/api/images/batch/estimate", body).then(setPrice, setError), []);
  const yes = async () => {
    setBusy(true);
    try {
      const { batchId } = await post("/api/images/batch", { ...body, maxCost: price.cost }, { headers: { "Idempotency-Key": key.current } });
      refreshBalance();
      toast(`${counted(jobIds.length, "order")} placed.`, { action: { text: "Show the batch", call: () => go(`/studio/batches/${batchId}`) } });
      onOrdered(batchId);
    } catch (found) {
      setError(found);
      setBusy(false);
    }
  };
  const action = busy ? "Ordering …" : price ? `Order · ${priceText(price)}` : "Order";
  return html`<${Confirm} title=${title} action=${action} busy=${busy || !price} keep="Not now" onYes=${yes} onClose=${onClose}>
    ${!price && !error && html`<p class="hint" role="status">Asking for the price …</p>`}
    ${price && html`<p>${counted(jobIds.length, "order")} with ${counted(price.numImages, "picture")}, as they were, at today's price: <strong class="number">${priceText(price)}</strong>. Where no seed was set, other pictures will come.</p>`}
    ${error && html`<${Refused} error=${error} />`}
  </${Confirm}>`;
}

function Refused({ error }) {
  const placed = error.errors.filter((each) => each.pointer.startsWith("/items/"));
  if (!placed.length) return html`<p class="wrong" role="alert">${error.message}</p>`;
  return html`<div class="wrong stack tight" role="alert"><p>${counted(placed.length, "order")} cannot be placed again:</p>
    <ul>${placed.slice(0, NAMED).map((each) => html`<li key=${each.pointer}>Order ${Number(each.pointer.split("/")[2]) + 1}: ${each.detail}</li>`)}</ul>
    ${placed.length > NAMED && html`<p>and ${placed.length - NAMED} more</p>`}</div>`;
}
