/** What an API key is for and what limits it: the same form for a new one and for one that is changed. */

import { html, useState } from "../../vendor/htm-preact.js";
import { sentenceOf } from "./doing.js";

const SCOPES = { generate: "Order, cancel, retry, delete", read: "See jobs, spend, balances", admin: "All that this page can" };
const LISTS = ["users", "models", "ipRanges"];
const NUMBERS = ["ratePerMinute", "maxCostPerOrder", "monthlyBudget"];

/** @param {{known?: object, action: string, isNew?: boolean, send: (body: object) => Promise<any>}} props `known`: a key as it is */
export function KeyForm({ known, action, isNew = false, send }) {
  const [form, setForm] = useState(() => formOf(known));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const typed = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const checked = (scope) => (event) => setForm({ ...form, scopes: Object.keys(SCOPES).filter((each) => (each === scope ? event.target.checked : form.scopes.includes(each))) });
  const sent = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    await send(bodyOf(form, isNew)).catch(setError);
    setBusy(false);
  };
  return html`<form class="stack" onSubmit=${sent}>
    <label>Name<input required maxlength="200" autocomplete="off" value=${form.name} onInput=${typed("name")} /></label>
    <fieldset class="stack tight"><legend><h3>May</h3></legend>${Object.entries(SCOPES).map(([scope, text]) => html`<label class="check" key=${scope}><input type="checkbox" checked=${form.scopes.includes(scope)} onChange=${checked(scope)} /><span><code>${scope}</code> <span class="hint">${text}</span></span></label>`)}</fieldset>
    <h3>Limits <span class="hint">what is empty is not limited</span></h3>
    <label>Users <span class="hint">ids with commas between; the first is the default</span><input autocomplete="off" value=${form.users} onInput=${typed("users")} /></label>
    <label>Models <span class="hint">names, or globs such as flux-*</span><input autocomplete="off" value=${form.models} onInput=${typed("models")} /></label>
    <label>Networks <span class="hint">203.0.113.0/24, or one address</span><input autocomplete="off" value=${form.ipRanges} onInput=${typed("ipRanges")} /></label>
    <div class="pair">
      <label>Requests a minute<input inputmode="numeric" value=${form.ratePerMinute} onInput=${typed("ratePerMinute")} /></label>
      <label>USD an order<input inputmode="decimal" value=${form.maxCostPerOrder} onInput=${typed("maxCostPerOrder")} /></label>
      ${isNew && html`<label>USD a month<input inputmode="decimal" value=${form.monthlyBudget} onInput=${typed("monthlyBudget")} /></label>`}
      <label>Until <span class="hint">its start in UTC</span><input type="date" value=${form.expiresAt} onInput=${typed("expiresAt")} /></label>
    </div>
    ${error && html`<p class="wrong" role="alert">${sentenceOf(error)}</p>`}
    <button class="primary" disabled=${busy || !form.name.trim() || !form.scopes.length}>${action}</button></form>`;
}

function formOf(key) {
  if (!key) return { name: "", scopes: ["generate", "read"], users: "", models: "", ipRanges: "", ratePerMinute: "", maxCostPerOrder: "", monthlyBudget: "", expiresAt: "" };
  const text = (value) => (value === null || value === undefined ? "" : String(value));
  return {
    name: key.name,
    scopes: key.scopes,
    ...Object.fromEntries(LISTS.map((name) => [name, key[name].join(", ")])),
    ...Object.fromEntries(NUMBERS.map((name) => [name, text(key[name])])),
    expiresAt: key.expiresAt ? key.expiresAt.slice(0, 10) : "",
  };
}

/** Return what the API is sent. Of a new key what is empty is left out; of a known one it takes the limit away. What is no number is sent as it is: the service says what is wrong with it. */
function bodyOf(form, isNew) {
  const number = (text) => (text.trim() === "" ? null : Number.isFinite(Number(text)) ? Number(text) : text);
  const names = isNew ? NUMBERS : NUMBERS.filter((name) => name !== "monthlyBudget");
  const body = {
    name: form.name.trim(),
    scopes: form.scopes,
    ...Object.fromEntries(LISTS.map((name) => [name, form[name].split(/[,\s]+/).filter(Boolean)])),
    ...Object.fromEntries(names.map((name) => [name, number(form[name])])),
    expiresAt: form.expiresAt ? `${form.expiresAt}T00:00:00Z` : null,
  };
  if (!isNew) return body;
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0)));
}
