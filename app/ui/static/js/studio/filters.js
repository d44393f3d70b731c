/** What a list of pictures or orders is narrowed by. All of it is in the address: it works on reload, and can be passed on. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Icon } from "../parts/icon.js";
import { SearchBox } from "../parts/search_box.js";
import { change } from "../router.js";

const STATUSES = { completed: "Completed", processing: "In progress", pending: "Waiting", failed: "Failed", canceled: "Canceled" };
/** Fields in the address, with what a chip says of each. */
const CHIPS = {
  model: (value) => value,
  status: (value) => STATUSES[value] || value,
  project: (value) => `Project ${value}`,
  tag: (value) => `Tagged ${value}`,
  from: (value) => `From ${value}`,
  to: (value) => `Until ${value}`,
  batch: () => "One batch",
};
const NAMES = ["q", "favorite", ...Object.keys(CHIPS)];

/** Return only what of an address narrows a list: what stays the same while a picture of the list is opened. */
export function filtersIn(query) {
  return Object.fromEntries(NAMES.filter((name) => query[name]).map((name) => [name, query[name]]));
}

/** Return the filters as the API spells them. Days are the reader's own, the last one included. */
export function asQuery(filters, userId) {
  return {
    userId,
    prompt: filters.q,
    model: filters.model,
    status: filters.status,
    projectId: filters.project,
    batchId: filters.batch,
    tag: filters.tag,
    favorite: filters.favorite ? "true" : undefined,
    from: startOf(filters.from, 0),
    to: startOf(filters.to, 1),
  };
}

function startOf(day, later) {
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day || "");
  if (!parts) return undefined;
  const moment = new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]) + later);
  return Number.isNaN(moment.getTime()) ? undefined : moment.toISOString();
}

/** @param {{filters: object, withStatus: boolean, children?: any}} props `withStatus`: orders have one, pictures are all completed */
export function Filters({ filters, withStatus, children }) {
  const [open, setOpen] = useState(false);
  const told = Object.entries(CHIPS).filter(([name]) => filters[name]);
  return html`<search class="filters stack tight">
    <div class="row">
      <${SearchBox} label="Search in prompts" value=${filters.q || ""} />
      <button class=${`square${filters.favorite ? " is-on" : ""}`} aria-pressed=${String(Boolean(filters.favorite))} aria-label="Only favorites" title="Only favorites"
        onClick=${() => change({ favorite: filters.favorite ? "" : "1" })}><${Icon} name="star" filled=${Boolean(filters.favorite)} /></button>
      <button aria-expanded=${String(open)} onClick=${() => setOpen(!open)}><${Icon} name="sliders" />Filters${told.length > 0 && html`<span class="tag accent">${told.length}</span>`}</button>
      ${children}
    </div>
    ${open && html`<${Fields} filters=${filters} withStatus=${withStatus} />`}
    ${told.length > 0 && html`<div class="chips">
      ${told.map(([name, text]) => html`<button class="chip" key=${name} onClick=${() => change({ [name]: "" })} aria-label=${`Take away: ${text(filters[name])}`}>${text(filters[name])}<${Icon} name="close" /></button>`)}
      <button class="link small" onClick=${clear}>Clear all</button>
    </div>`}
  </search>`;
}

export function clear() {
  change(Object.fromEntries(NAMES.map((name) => [name, ""])));
}

function Fields({ filters, withStatus }) {
  const [models, setModels] = useState([]);
  useEffect(() => void get("/api/images/models").then((found) => setModels(found.models.map((model) => model.name)), () => {}), []);
  const set = (name) => (event) => change({ [name]: event.target.value.trim() });
  const names = filters.model && !models.includes(filters.model) ? [filters.model, ...models] : models;
  return html`<div class="filter-fields card">
    <label>Model<select value=${filters.model || ""} onChange=${set("model")}><option value="">All models</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    ${withStatus && html`<label>Status<select value=${filters.status || ""} onChange=${set("status")}><option value="">Every status</option>${Object.entries(STATUSES).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label>`}
    <label>Tag<input value=${filters.tag || ""} maxlength="64" onChange=${set("tag")} /></label>
    <label>Project<input value=${filters.project || ""} maxlength="200" onChange=${set("project")} /></label>
    <label>From<input type="date" value=${filters.from || ""} onChange=${set("from")} /></label>
    <label>Until<input type="date" value=${filters.to || ""} onChange=${set("to")} /></label>
  </div>`;
}
