/** A table of prompts becomes a batch: it is checked while it is typed, and its price stands on the button. */

import { html, useEffect, useMemo, useRef, useState } from "../../vendor/htm-preact.js";
import { newKey, post } from "../api.js";
import { fieldsOf } from "../form/fields.js";
import { SheetError, itemOf, tableOf } from "../form/sheet.js";
import { Icon } from "../parts/icon.js";
import { counted, priceText } from "../parts/money.js";
import { toast } from "../parts/toast.js";
import { go } from "../router.js";
import { onLeave, refreshBalance, session } from "../session.js";
import { store, useStore } from "../store.js";
import { byCategory, modelDetail, modelList, useAsked } from "./models.js";
import { MOST } from "./selection.js";

const PAUSE_MS = 400;
const SHOWN_ROWS = 100;
const MAX_FILE_BYTES = 2_000_000;
const EXAMPLE = `prompt,image_size,num_images
a red bicycle,square,1
"a lighthouse, at dusk",landscape_4_3,2`;

/** What was typed outlives the screen and a session that has ended; signing out clears it. */
const typed = store({ text: "", model: "" });
onLeave(() => typed.set({ text: "", model: "" }));

export function NewBatch() {
  const now = useStore(typed);
  const { found: models } = useAsked(modelList, "models");
  const model = now.model || byCategory(models || [])[0]?.models[0]?.name || "";
  const set = (changes) => typed.set({ ...now, ...changes });
  const { sheet, problem } = useMemo(() => read(now.text), [now.text]);
  const check = useCheck(sheet, model);
  const picked = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    if (file.size > MAX_FILE_BYTES) toast(`${file.name} is too large for a table of ${MOST} orders.`, { kind: "wrong" });
    else set({ text: await file.text() });
  };
  return html`<div class="stack narrow-page">
    <p><a href="/studio/batches">All batches</a></p>
    <h1>New batch</h1>
    <div class="card stack">
      <label>Model <span class="hint">for rows without one in a column "model"</span>
        <select value=${model} onChange=${(event) => set({ model: event.target.value })}>${(models || []).map((each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}</select></label>
      <label>Table <span class="hint">CSV: the first line names the columns, one of them "prompt"; each line below is an order</span>
        <textarea class="sheet" rows="8" spellcheck="false" placeholder=${EXAMPLE} value=${now.text} onInput=${(event) => set({ text: event.target.value })} aria-describedby="sheet-problem"></textarea></label>
      <div class="row"><label class="button file"><${Icon} name="upload" />Pick a file<input type="file" class="unseen" accept=".csv,.tsv,.txt,text/csv,text/plain" onChange=${picked} /></label>
        ${now.text === "" && html`<button onClick=${() => set({ text: EXAMPLE })}>Begin with an example</button>`}
        ${now.text !== "" && html`<button class="quiet" onClick=${() => set({ text: "" })}>Clear</button>`}</div>
      <p id="sheet-problem" class="wrong" role="alert" hidden=${!problem}>${problem}</p>
    </div>
    ${sheet && html`<${Preview} sheet=${sheet} problems=${check.problems} />`}
    ${sheet && html`<${OrderBar} check=${check} sheet=${sheet} onOrdered=${() => set({ text: "" })} />`}
  </div>`;
}

function read(text) {
  if (!text.trim()) return {};
  try {
    return { sheet: tableOf(text, { most: MOST }) };
  } catch (error) {
    if (error instanceof SheetError) return { problem: error.message };
    throw error;
  }
}

/** Ask the service what the table would cost, and what is wrong in it: `{items, price, problems, error, busy}`; problems by row. */
function useCheck(sheet, model) {
  const [state, setState] = useState({ problems: new Map() });
  useEffect(() => {
    if (!sheet || !model) return undefined;
    const stopped = new AbortController();
    setState((now) => ({ ...now, busy: true, price: null, error: null }));
    const timer = setTimeout(async () => {
      const found = await checked(sheet, model, stopped.signal);
      if (!stopped.signal.aborted) setState({ ...found, busy: false });
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stopped.abort();
    };
  }, [sheet, model]);
  return state;
}

async function checked(sheet, model, signal) {
  const problems = new Map(sheet.rows.map((row, index) => [index, row.problem]).filter(([, problem]) => problem));
  const names = [...new Set(sheet.rows.map((row) => row.values.model || model))];
  const schemas = new Map(await Promise.all(names.map((name) => modelDetail(name).then((detail) => [name, detail.inputSchema], () => [name, null]))));
  const given = { model, fieldsOf: (name, values) => schemas.get(name) && fieldsOf(schemas.get(name), values) };
  const items = sheet.rows.map((row) => itemOf(row, given));
  try {
    const price = await post("/api/images/batch/estimate", { items, userId: session.get().userId }, { signal });
    return { items, problems, price: problems.size ? null : price };
  } catch (error) {
    for (const each of error.errors || []) {
      const [, place, index, ...names_] = each.pointer.split("/");
      if (place !== "items" || problems.has(Number(index))) continue;
      problems.set(Number(index), `${names_.at(-1) || "order"}: ${each.detail}`);
    }
    return { items, problems, error: problems.size || error.name === "AbortError" ? null : error };
  }
}

function Preview({ sheet, problems }) {
  const bad = [...problems.keys()].sort((one, other) => one - other);
  const rows = [...new Set([...bad, ...sheet.rows.keys()])].slice(0, SHOWN_ROWS).sort((one, other) => one - other);
  return html`<div class="stack tight">
    ${bad.length > 0 && html`<p class="wrong" role="alert">${counted(bad.length, "row")} cannot be ordered as ${bad.length === 1 ? "it is" : "they are"}; nothing is ordered until ${bad.length === 1 ? "it is" : "all are"} right.</p>`}
    <div class="table-frame"><table class="rows"><caption class="unseen">The rows of the table</caption>
      <thead><tr><th scope="col" class="number">Line</th>${sheet.columns.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.map((index) => html`<${Row} key=${index} row=${sheet.rows[index]} columns=${sheet.columns} problem=${problems.get(index)} />`)}</tbody>
    </table></div>
    ${sheet.rows.length > rows.length && html`<p class="hint">and ${sheet.rows.length - rows.length} more rows</p>`}
  </div>`;
}

function Row({ row, columns, problem }) {
  return html`<tr class=${problem ? "bad" : ""}><td class="number" data-title="Line">${row.line}</td>
    ${columns.map((name, index) => html`<td key=${name} data-title=${name} dir="auto"><span>${row.values[name] || html`<span class="hint">—</span>`}${index === 0 && problem && html`<span class="wrong problem">${problem}</span>`}</span></td>`)}</tr>`;
}

function OrderBar({ check, sheet, onOrdered }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const key = useRef({ items: null, key: "" });
  const { price, items } = check;
  if (key.current.items !== items) key.current = { items, key: newKey() }; // Other orders are another purchase.
  const order = async () => {
    setBusy(true);
    setError(null);
    try {
      const body = { items, userId: session.get().userId, maxCost: price.cost };
      const { batchId } = await post("/api/images/batch", body, { headers: { "Idempotency-Key": key.current.key } });
      refreshBalance();
      onOrdered();
      go(`/studio/batches/${batchId}`);
    } catch (found) {
      setError(found);
      setBusy(false);
    }
  };
  const shown = error || check.error;
  return html`<div class="card order-bar stack tight">
    ${shown && html`<p class="wrong" role="alert">${shown.message}</p>`}
    <div class="row between"><span role="status">${check.busy ? "Checking …" : price ? `${counted(sheet.rows.length, "order")}, ${counted(price.numImages, "picture")}` : ""}</span>
      <button class="primary large" disabled=${busy || check.busy || !price} onClick=${order}>${busy ? "Ordering …" : price ? `Order · ${priceText(price)}` : "Order"}</button></div>
  </div>`;
}
