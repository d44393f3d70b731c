/** What an operator does to one job. Each says what it will do, and to whose cost, before it does it. */

import { html, useRef, useState } from "../../vendor/htm-preact.js";
import { newKey, post, remove } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { counted, tokensText, usdText } from "../parts/money.js";
import { tell, toast } from "../parts/toast.js";
import { go } from "../router.js";
import { copyText } from "../saving.js";
import { snippetsOf } from "../studio/snippets.js";
import { isOver } from "../studio/status.js";
import { useDoing } from "./doing.js";

const LIVE = ["pending", "processing", "completed"];

/** @param {{file: object, onChanged: () => void}} props */
export function JobActions({ file, onChanged }) {
  const [asking, setAsking] = useState(null);
  const doing = useDoing();
  const { job } = file;
  const { busy } = doing;
  const over = isOver(job);
  const close = () => setAsking(null);
  const act = async (work, text) => {
    if (await doing.act(work, text)) onChanged();
    close();
  };
  const refresh = () => act(() => post(`/api/admin/jobs/${job.jobId}/refresh`), ({ requests }) => (requests.length ? `fal says: ${requests.map(saidOf).join(", ")}.` : "Nothing of this job is open at fal."));
  const cancel = () => act(() => post(`/api/admin/jobs/${job.jobId}/cancel`), (found) => (found.status === "canceled" ? "Canceled." : "Asked for; fal's answer decides."));
  const copied = async () => ((await copyText(curlOf(job))) ? toast("Copied.") : toast("The browser does not let the page copy.", { kind: "wrong" }));
  return html`<div class="row" role="group" aria-label="Actions">
    ${!over && html`<button disabled=${busy || job.cancelRequested} onClick=${() => setAsking("cancel")}><${Icon} name="close" />Cancel the job</button>`}
    ${!over && html`<button disabled=${busy} onClick=${refresh}><${Icon} name="external" />Ask fal now</button>`}
    ${over && html`<button disabled=${busy} onClick=${() => setAsking("retry")}><${Icon} name="again" />Order again …</button>`}
    ${job.operation === "generate" && html`<button onClick=${copied}><${Icon} name="copy" />Copy as curl</button>`}
    ${over && html`<button disabled=${busy} onClick=${() => setAsking("delete")}><${Icon} name="trash" />Delete …</button>`}
    ${asking === "cancel" && html`<${Confirm} title="Cancel this job?" action="Cancel the job" danger busy=${busy} onYes=${cancel} onClose=${close}>
      <p>What fal has not begun costs nothing. What it is painting may come all the same, and is then delivered and charged.</p></${Confirm}>`}
    ${asking === "retry" && html`<${Retry} file=${file} onClose=${close} onChanged=${onChanged} />`}
    ${asking === "delete" && html`<${Delete} job=${job} onClose=${close} />`}
  </div>`;
}

function saidOf({ state, queuePosition }) {
  if (state === null) return "no answer";
  return queuePosition === null ? state : `${state}, place ${queuePosition + 1} in its queue`;
}

function Retry({ file, onClose, onChanged }) {
  const { job, retry: offer, retries } = file;
  const wasBought = retries.find((each) => LIVE.includes(each.status));
  const [payer, setPayer] = useState(offer.payer);
  const [again, setAgain] = useState(false);
  const [busy, setBusy] = useState(false);
  const key = useRef(newKey());
  const order = async () => {
    setBusy(true);
    try {
      const headers = again ? { "Idempotency-Key": key.current } : {};
      const made = await post(`/api/admin/jobs/${job.jobId}/retry`, { payer, again }, { headers });
      toast(wasBought && !again ? "It was ordered again before; this is that job." : "Ordered again.");
      onChanged();
      onClose();
      go(`/operator/jobs/${made.jobId}`);
    } catch (error) {
      tell(error);
      setBusy(false);
    }
  };
  const price = payer === "user" && offer.tokens ? tokensText(offer.tokens) : usdText(offer.cost);
  const action = offer.refusal ? "Cannot be ordered" : wasBought && !again ? "Show the job that it became" : `Order 1 job · ${price}`;
  return html`<${Confirm} title="Order it again?" action=${action} busy=${busy || Boolean(offer.refusal)} onYes=${order} onClose=${onClose}>
    ${offer.refusal ? html`<p class="wrong" role="alert">${offer.refusal}</p>` : html`<p>The same order at today's price: <strong>${usdText(offer.cost)}</strong>${offer.tokens > 0 && ` or ${tokensText(offer.tokens)}`} if all is delivered.</p>`}
    ${file.job.error?.code === "unknown_outcome" && html`<p class="notice warn">fal may have painted and billed it the first time without an answer: it may be paid for twice.</p>`}
    ${offer.payer === "user" && html`<fieldset class="stack tight"><legend><h3>Who pays</h3></legend>
      <label class="check"><input type="radio" name="payer" checked=${payer === "user"} onChange=${() => setPayer("user")} />Its user, ${tokensText(offer.tokens)}</label>
      <label class="check"><input type="radio" name="payer" checked=${payer === "operator"} onChange=${() => setPayer("operator")} />You: nobody's tokens are taken</label></fieldset>`}
    ${offer.payer === "operator" && !offer.refusal && html`<p class="hint">Nobody's tokens are taken: it is on your account, as it was the first time.</p>`}
    ${wasBought && html`<label class="check"><input type="checkbox" checked=${again} onChange=${(event) => setAgain(event.target.checked)} />It was ordered again before. Order it once more all the same</label>`}
  </${Confirm}>`;
}

function Delete({ job, onClose }) {
  const [busy, setBusy] = useState(false);
  const yes = async () => {
    setBusy(true);
    try {
      await remove(`/api/admin/jobs/${job.jobId}`);
      toast("Deleted.");
      go("/operator/jobs");
    } catch (error) {
      tell(error);
      setBusy(false);
    }
  };
  const what = job.images.length ? `the job and its ${counted(job.images.length, "picture")}` : "the job";
  return html`<${Confirm} title="Delete this job for good?" action=${`Delete ${what}`} danger busy=${busy} onYes=${yes} onClose=${onClose}>
    <p>Its user loses it too, and nobody can bring it back. What it cost stays in the spend.</p></${Confirm}>`;
}

/** Return the order as a script would send it, for the same user, on the operator's account. */
function curlOf(job) {
  const { model, inputs, options } = job.config;
  const caller = { kind: "key", userId: job.userId };
  return snippetsOf({ server: location.origin, body: { model, inputs, options }, caller, orderKey: newKey() }).curl.text;
}
