/** Lists inside of a form: rows of several columns, such as LoRAs with their scale, and plain lists of texts. */

import { html } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";

export function RowsField({ field, value, onChange }) {
  const rows = Array.isArray(value) ? value : [];
  const columns = Object.values(field.columns).filter((column) => ["text", "number", "prompt"].includes(column.kind));
  const put = (index, name, entered) => onChange(rows.map((row, each) => (each === index ? { ...row, [name]: entered } : row)));
  return html`<div class="stack tight">
    ${rows.map((row, index) => html`<div class="row lora" key=${index}>
      ${columns.map((column) => html`<input aria-label=${`${column.title} of ${field.title}, row ${index + 1}`} class=${column.kind === "number" ? "number narrow" : ""} type=${column.kind === "number" ? "number" : "text"}
        step="any" min=${column.min} max=${column.max} placeholder=${column.kind === "number" ? column.title : column.description || column.title} value=${row[column.name] ?? ""}
        onInput=${(event) => put(index, column.name, event.target.value)} />`)}
      <button type="button" class="quiet square" aria-label=${`Remove row ${index + 1} of ${field.title}`} onClick=${() => onChange(rows.filter((_, each) => each !== index))}><${Icon} name="close" /></button>
    </div>`)}
    <button type="button" class="link" disabled=${field.maxItems !== undefined && rows.length >= field.maxItems} onClick=${() => onChange([...rows, {}])}><${Icon} name="plus" />Add</button>
  </div>`;
}

export function ListField({ field, value, onChange, id, described }) {
  const text = Array.isArray(value) ? value.join("\n") : "";
  return html`<textarea id=${`${id}-list`} aria-label=${`${field.title}, one a line`} aria-describedby=${described} rows="3" value=${text} onInput=${(event) => onChange(event.target.value.split("\n"))}></textarea>`;
}
