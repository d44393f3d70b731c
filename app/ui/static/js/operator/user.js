/** One user: what it has, spends and may, and what can be done about it. */

import { html, useRef, useState } from "../../vendor/htm-preact.js";
import { newKey, patch, post } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, tokensText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { BudgetEditor } from "./budget.js";
import { useDoing } from "./doing.js";
import { LEDGER } from "./job_parts.js";
import { Facts, Heading, Panel, Skeleton } from "./pieces.js";
import { AccountTags } from "./users.js";

/** @param {{userId: string}} props */
export function UserPage({ userId }) {
  const { data, error, reload } = useAnswer(`/api/admin/users/${encodeURIComponent(userId)}`);
  if (!data) return html`<${Heading} title="User" />${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${6} />`}`;
  const { user, ledger } = data;
  return html`<p class="small"><a href="/operator/users">All users</a></p>
    <${Heading} title=${user.email || user.id}><${AccountTags} user=${user} /></${Heading}>
    <div class="stack wide">
      ${user.registered ? html`<${Actions} user=${user} onChanged=${reload} />` : html`<p class="notice">Only scripts have named this user: there is no account to sign in with, and no balance.</p>`}
      <div class="panels">
        <${Panel} title="What is known"><${Facts} facts=${[
          ["Id", html`<code>${user.id}</code>`],
          ["Since", user.createdAt && html`<${Time} at=${user.createdAt} style="moment" />`],
          ["Balance", user.registered && html`<strong>${tokensText(user.balance)}</strong>`],
          ["Held", user.held > 0 && tokensText(user.held)],
          ["Charged this month", html`<strong>${usdText(user.month.charged)}</strong>`],
          ["This month", `${counted(user.month.jobs, "job")}, ${counted(user.month.images, "image")}`],
          ["Jobs", html`<a href=${`/operator/jobs?q=${encodeURIComponent(`user:${user.id}`)}`}>Show them</a>`],
        ]} /></${Panel}>
        <div class="stack wide">
          ${user.registered && html`<${Panel} title="Top up"><${TopUp} key=${ledger[0]?.id} user=${user} onDone=${reload} /></${Panel}>`}
          <${Panel} title="Budget of the month"><${BudgetEditor} owner=${{ userId: user.id }} budget=${user.budget} onChanged=${reload} /></${Panel}>
        </div>
      </div>
      <${Panel} title="Latest entries of the ledger">${ledger.length ? html`<${Table} caption="Ledger" columns=${LEDGER_WITH_JOBS} rows=${ledger} rowKey=${(entry) => entry.id} />` : html`<p class="hint">None.</p>`}</${Panel}>
    </div>`;
}

const LEDGER_WITH_JOBS = [...LEDGER, { key: "jobId", title: "Job", cell: (entry) => (entry.jobId ? html`<a href=${`/operator/jobs/${entry.jobId}`}>Show</a>` : "–") }];

function Actions({ user, onChanged }) {
  const [asking, setAsking] = useState(null);
  const { busy, act } = useDoing();
  const set = (body, text) => async () => {
    if (await act(() => patch(`/api/admin/users/${encodeURIComponent(user.id)}`, body), text)) onChanged();
    setAsking(null);
  };
  const isAdmin = user.role === "admin";
  return html`<div class="row" role="group" aria-label="Actions">
    ${user.disabled
      ? html`<button disabled=${busy} onClick=${set({ disabled: false }, "The user may sign in again.")}><${Icon} name="unlock" />Let in again</button>`
      : html`<button disabled=${busy} onClick=${() => setAsking("disable")}><${Icon} name="lock" />Disable …</button>`}
    <button disabled=${busy} onClick=${() => setAsking("role")}><${Icon} name="people" />${isAdmin ? "Make a plain user …" : "Make an administrator …"}</button>
    ${asking === "disable" && html`<${Confirm} title="Shut this user out?" action="Disable the user" danger busy=${busy} onYes=${set({ disabled: true }, "The user is shut out.")} onClose=${() => setAsking(null)}>
      <p>Its sessions end at once, and it cannot sign in. Jobs on their way are finished. Its balance stays.</p></${Confirm}>`}
    ${asking === "role" && html`<${Confirm} title=${isAdmin ? "Make it a plain user?" : "Make it an administrator?"} action=${isAdmin ? "Make a plain user" : "Make an administrator"} danger=${!isAdmin} busy=${busy}
      onYes=${set({ role: isAdmin ? "user" : "admin" }, isAdmin ? "A plain user again." : "An administrator now.")} onClose=${() => setAsking(null)}>
      <p>${isAdmin ? "It does not see this page any more." : "An administrator sees every user's jobs and pictures, and may do all that this page can."}</p></${Confirm}>`}
  </div>`;
}

/** The idempotency key is made once for each entry that is wanted: the same click again adds nothing. */
function TopUp({ user, onDone }) {
  const [amount, setAmount] = useState("");
  const [notes, setNotes] = useState("");
  const key = useRef(newKey());
  const { busy, act } = useDoing();
  const tokens = Number(amount);
  const isAmount = Number.isInteger(tokens) && tokens > 0;
  const sent = async (event) => {
    event.preventDefault();
    if (!isAmount) return;
    const body = { amount: tokens, notes: notes.trim() || null };
    const headers = { "Idempotency-Key": key.current };
    if (await act(() => post(`/api/admin/users/${encodeURIComponent(user.id)}/topup`, body, { headers }), (done) => `${tokensText(tokens)} added; the balance is ${countText(done.balance)}.`)) onDone();
  };
  const changed = (set) => (event) => {
    set(event.target.value);
    key.current = newKey(); // Another wish than before.
  };
  return html`<form class="card stack tight" onSubmit=${sent}>
    <label>Tokens<input inputmode="numeric" autocomplete="off" value=${amount} onInput=${changed(setAmount)} /></label>
    <label>Notes <span class="hint">in its ledger; its user sees them</span><input maxlength="500" autocomplete="off" value=${notes} onInput=${changed(setNotes)} /></label>
    <div><button class="primary" disabled=${busy || !isAmount}>${isAmount ? `Add ${tokensText(tokens)}` : "Add tokens"}</button></div></form>`;
}
