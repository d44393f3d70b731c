/** Many jobs ordered again: what it comes to is said first, above 50 the number is typed, and it is bought once whatever happens. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { newKey, post } from "../api.js";
import { Confirm } from "../parts/dialog.js";
import { counted, countText, tokensText, usdText } from "../parts/money.js";
import { toast } from "../parts/toast.js";

const PATH = "/api/admin/jobs/retry";
const UNCOUNTED = 50;
const SKIPPED = { already_retried: "ordered again before", not_failed: "have not failed", not_found: "are not there any more" };

/** @param {{filters: object[], onClose: () => void, onDone: () => void}} props each filter is one request, of 500 jobs at most */
export function RetryMany({ filters, onClose, onDone }) {
  const [plans, setPlans] = useState(null);
  const [error, setError] = useState(null);
  const [typed, setTyped] = useState("");
  const [progress, setProgress] = useState(null);
  const keys = useRef(filters.map(newKey)); // Made once: the same click again, or after a lost connection, buys nothing twice.
  useEffect(() => {
    Promise.all(filters.map((filter) => post(PATH, { filter }))).then(setPlans, setError);
  }, []);
  const count = sumOf(plans, "count");
  const yes = async () => {
    setError(null);
    const reports = [];
    try {
      for (const [index, plan] of plans.entries()) if (plan.count) reports.push(await carriedOut(filters[index], plan, keys.current[index], (left) => setProgress(count - sumOf(reports, "count") - (plan.count - left))));
      const refused = reports.flatMap((report) => report.refused);
      toast(`${counted(sumOf(reports.map((report) => ({ count: report.retried.length })), "count"), "job")} ordered again.${refused.length ? ` ${counted(refused.length, "job")} refused: ${refused[0].message}` : ""}`, { kind: refused.length ? "wrong" : "done" });
      onDone();
      onClose();
    } catch (found) {
      setError(found);
    }
    setProgress(null);
  };
  const isTyped = count <= UNCOUNTED || typed.trim() === String(count);
  const action = progress !== null ? `${countText(progress)} to go …` : plans ? `Order ${counted(count, "job")} · ${usdText(sumOf(plans, "cost"))}` : "Order again";
  return html`<${Confirm} title="Order these again?" action=${action} busy=${!plans || !count || !isTyped || progress !== null} onYes=${yes} onClose=${onClose}>
    ${!plans && !error && html`<p class="hint" role="status">Counting them, and asking for the price …</p>`}
    ${plans && html`<${Said} plans=${plans} count=${count} />`}
    ${count > UNCOUNTED && html`<label>These are more than ${UNCOUNTED}. Type their number, ${count}, to go on<input inputmode="numeric" autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>`}
    ${error && html`<p class="wrong" role="alert">${error.message}</p>`}
  </${Confirm}>`;
}

function Said({ plans, count }) {
  const tokens = sumOf(plans, "tokens");
  const unknown = sumOf(plans, "unknownOutcome");
  const skipped = Object.entries(SKIPPED).map(([why, text]) => [plans.reduce((sum, plan) => sum + (plan.skipped[why] || 0), 0), text]).filter(([number]) => number);
  const refused = plans.flatMap((plan) => plan.refused);
  return html`<p><strong>${counted(count, "job")}</strong> would be ordered again, for <strong>${usdText(sumOf(plans, "cost"))}</strong> at most${tokens > 0 && `, of which their users pay ${tokensText(tokens)}`}. Who paid the first time pays.</p>
    ${unknown > 0 && html`<p class="notice warn">${counted(unknown, "job")} may have been painted and billed the first time without our knowing: what fal took for them is paid twice.</p>`}
    ${skipped.length > 0 && html`<p class="hint">Left out: ${skipped.map(([number, text]) => `${countText(number)} ${text}`).join(", ")}.</p>`}
    ${refused.length > 0 && html`<p class="hint">${counted(refused.length, "job")} cannot be ordered: ${refused[0].message}</p>`}`;
}

/** Order a plan's jobs; what a request has no time for, the same request again goes on with. Never for more than was said. */
async function carriedOut(filter, plan, key, onLeft) {
  const body = { filter, maxCost: plan.cost, confirm: plan.count };
  let report = null;
  do {
    report = await post(PATH, body, { headers: { "Idempotency-Key": key } });
    onLeft(report.remaining);
  } while (report.remaining > 0);
  return report;
}

function sumOf(plans, name) {
  return (plans || []).reduce((sum, plan) => sum + plan[name], 0);
}
