/** One API key: what it may, spends, and how it is stopped. */

import { html, useState } from "../../vendor/htm-preact.js";
import { patch, remove } from "../api.js";
import { Confirm, Dialog } from "../parts/dialog.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { toast } from "../parts/toast.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { BudgetEditor } from "./budget.js";
import { useDoing } from "./doing.js";
import { KeyForm } from "./key_form.js";
import { Facts, Heading, Panel, Skeleton } from "./pieces.js";

/** @param {{keyId: string}} props */
export function KeyPage({ keyId }) {
  const path = `/api/admin/keys/${encodeURIComponent(keyId)}`;
  const { data: key, error, reload } = useAnswer(path);
  if (!key) return html`<${Heading} title="Key" />${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${6} />`}`;
  return html`<p class="small"><a href="/operator/keys">All keys</a></p>
    <${Heading} title=${key.name}><span class=${`tag ${key.live ? "good" : "wrong"}`}>${key.live ? "In use" : key.revokedAt ? "Revoked" : "Expired"}</span></${Heading}>
    <div class="stack wide">
      ${!key.revokedAt && html`<${Actions} path=${path} known=${key} onChanged=${reload} />`}
      <div class="panels">
        <${Panel} title="What it may"><${Facts} facts=${[
          ["Id", html`<code>${key.id}</code>`],
          ["Scopes", key.scopes.join(", ")],
          ["Users", key.users.join(", ") || "any"],
          ["Models", key.models.join(", ") || "any"],
          ["Networks", key.ipRanges.join(", ") || "any"],
          ["Requests a minute", key.ratePerMinute === null ? "as all keys" : countText(key.ratePerMinute)],
          ["USD an order", key.maxCostPerOrder === null ? "not limited" : usdText(key.maxCostPerOrder)],
          ["Until", key.expiresAt ? html`<${Time} at=${key.expiresAt} style="moment" />` : "revoked"],
        ]} /></${Panel}>
        <div class="stack wide">
          <${Panel} title="What it does"><${Facts} facts=${[
            ["Charged this month", html`<strong>${usdText(key.month.charged)}</strong>`],
            ["This month", `${counted(key.month.jobs, "job")}, ${counted(key.month.images, "image")}`],
            ["Last used", key.lastUsedAt ? html`<${Time} at=${key.lastUsedAt} style="moment" />` : "never"],
            ["Made", html`<${Time} at=${key.createdAt} style="moment" />`],
            ["Revoked", key.revokedAt && html`<${Time} at=${key.revokedAt} style="moment" />`],
            ["Jobs", html`<a href=${`/operator/jobs?q=${encodeURIComponent(`key:${key.id}`)}`}>Show them</a>`],
          ]} /></${Panel}>
          <${Panel} title="Budget of the month"><${BudgetEditor} owner=${{ keyId: key.id }} budget=${key.budget} onChanged=${reload} /></${Panel}>
        </div>
      </div>
    </div>`;
}

function Actions({ path, known, onChanged }) {
  const [asking, setAsking] = useState(null);
  const { busy, act } = useDoing();
  const close = () => setAsking(null);
  const revoke = async () => {
    if (await act(() => remove(path), "Revoked. Whoever sends it is refused from now on.")) onChanged();
    close();
  };
  const send = async (body) => {
    await patch(path, body);
    toast("Changed, at once.");
    onChanged();
    close();
  };
  return html`<div class="row" role="group" aria-label="Actions">
    <button disabled=${busy} onClick=${() => setAsking("change")}><${Icon} name="sliders" />Change …</button>
    <button disabled=${busy} onClick=${() => setAsking("revoke")}><${Icon} name="lock" />Revoke …</button>
    ${asking === "change" && html`<${Dialog} title="Change the key" onClose=${close}><${KeyForm} known=${known} action="Change it at once" send=${send} /></${Dialog}>`}
    ${asking === "revoke" && html`<${Confirm} title="Revoke this key?" action=${`Revoke ${known.name}`} danger busy=${busy} onYes=${revoke} onClose=${close}>
      <p>Whoever sends it is refused at once and for good. Jobs on their way are finished, and charged. To only slow it down, give it a budget or a limit.</p></${Confirm}>`}
  </div>`;
}
