/** What a user or a key may spend in a month: how much of it is gone, and how it is set. */

import { html, useState } from "../../vendor/htm-preact.js";
import { call, remove } from "../api.js";
import { usdText } from "../parts/money.js";
import { useDoing } from "./doing.js";

/** @param {{budget: {monthly: number, spent: number, held: number} | null}} props */
export function BudgetBar({ budget }) {
  if (!budget) return html`<span class="hint">none</span>`;
  const used = budget.spent + budget.held;
  const text = `${usdText(used)} of ${usdText(budget.monthly)}`;
  return html`<span class="budget"><span>${text}</span><meter aria-label=${text} min="0" max=${budget.monthly || 1} low=${budget.monthly * 0.8} high=${budget.monthly * 0.95} optimum="0" value=${used}></meter></span>`;
}

/** @param {{owner: {userId?: string, keyId?: string}, budget: object | null, onChanged: () => void}} props */
export function BudgetEditor({ owner, budget, onChanged }) {
  const [typed, setTyped] = useState("");
  const { busy, act } = useDoing();
  const amount = Number(typed);
  const isAmount = typed.trim() !== "" && Number.isFinite(amount) && amount >= 0;
  const set = async (event) => {
    event.preventDefault();
    if (!isAmount) return;
    if (await act(() => call("PUT", "/api/budgets", { body: { ...owner, monthly: amount } }), `The budget is ${usdText(amount)} a month.`)) onChanged();
    setTyped("");
  };
  const clear = async () => {
    if (await act(() => remove("/api/budgets", { query: owner }), "Nothing limits the month any more.")) onChanged();
  };
  return html`<div class="card stack tight"><${BudgetBar} budget=${budget} />
    <form class="row" onSubmit=${set}>
      <label class="grow"><span class="unseen">Budget in USD a month</span><input inputmode="decimal" placeholder="USD a month" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>
      <button disabled=${busy || !isAmount}>${isAmount ? `Set ${usdText(amount)} a month` : "Set the budget"}</button>
      ${budget && html`<button type="button" disabled=${busy} onClick=${clear}>Remove it</button>`}
    </form>
    <p class="hint">What goes beyond it is refused with 402 <code>budget_exceeded</code>. 0 refuses everything.</p></div>`;
}
