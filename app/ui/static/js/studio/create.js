/** S1: choose a model, fill in what it takes, see the price, order; beside it, what comes of it. */

import { html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { bodyOf, estimateOf, problemsOf } from "../form/body.js";
import { fieldsOf } from "../form/fields.js";
import { FormField } from "../form/widgets.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { session } from "../session.js";
import { useStore } from "../store.js";
import { draft, edit, setValue } from "./draft.js";
import { accepted, prompts } from "./jobs.js";
import { ModelPicker, modelDetail, modelList, needsText, useAsked } from "./models.js";
import { orderModel, useOrder, usePrice } from "./order.js";
import { OrderBar } from "./order_bar.js";
import { ReferenceForm } from "./reference.js";
import { Strip } from "./strip.js";

/** Who opens the page first sees one of these, where the service has them. */
const FIRST = { "text-to-image": "flux-pro", "image-to-image": "nano-banana-edit" };

export function Create() {
  const who = useStore(session);
  const now = useStore(draft);
  const { found: models, error, again } = useAsked(modelList, "models");
  const chosen = chosenIn(models, now);
  const hasReference = who?.kind === "user";
  const mode = hasReference ? now.mode : "model";
  if (error) return html`<${Failure} error=${error} onRetry=${again} />`;
  return html`<h1 class="unseen">Create</h1><div class="create">
    ${models ? html`<${ModelPicker} models=${models} chosen=${chosen} mode=${mode} hasReference=${hasReference}
      onModel=${(name) => edit({ mode: "model", model: name, wantsPicture: false })} onReference=${() => edit({ mode: "reference" })} />` : html`<div class="picker skeleton"></div>`}
    <section class="making" key=${mode + chosen} aria-label="What to make">
      ${mode === "reference" ? html`<${ReferenceForm} />` : chosen && html`<${ModelForm} key=${chosen} name=${chosen} />`}
    </section>
    <${Strip} />
  </div>`;
}

/** Return the model of the form. Whoever has chosen none yet makes a picture from words, or from the one that was put in. */
function chosenIn(models, { model: name, wantsPicture }) {
  const known = models?.find((model) => model.name === name);
  if (known && !(wantsPicture && !needsText(known))) return known.name;
  const category = wantsPicture ? "image-to-image" : "text-to-image";
  return (models?.find((model) => model.name === FIRST[category]) || models?.find((model) => model.category === category) || models?.[0])?.name;
}

function ModelForm({ name }) {
  const { found: model, error, again } = useAsked(() => modelDetail(name), name);
  if (error) return html`<${Failure} error=${error} onRetry=${again} />`;
  if (!model) return html`<div class="card skeleton tall" aria-label="Loading"></div>`;
  return html`<${KnownForm} model=${model} />`;
}

function KnownForm({ model }) {
  const { values } = useStore(draft);
  const [touched, setTouched] = useState(new Set());
  const [view, setView] = useState("form");
  const fields = useMemo(() => fieldsOf(model.inputSchema, values), [model, values]);
  const body = useMemo(() => bodyOf(model.name, fields, values), [fields, values]);
  const problems = problemsOf(fields, values);
  const { order, busy, rests, error } = useOrder(accepted);
  const isSound = fields.every((field) => !problems[field.name] || field.required && field.kind !== "number");
  const price = usePrice(isSound ? estimateOf(body, fields) : null);
  const told = { ...errorsOf(price.error, fields), ...errorsOf(error, fields) };
  const shown = (field) => told[field.name] || (touched.has(field.name) ? problems[field.name] : null);
  const set = (field) => (value) => {
    setTouched((before) => new Set(before).add(field.name));
    setValue(field.name, value);
  };
  const submit = (event) => {
    event?.preventDefault();
    const first = fields.find((field) => problems[field.name]);
    if (first) {
      setTouched(new Set(fields.map((field) => field.name)));
      document.getElementById(`field-${first.name}`)?.focus();
    } else if (price.isCurrent && price.price) order((headers) => orderModel(body, headers));
  };
  const row = (field) => html`<${FormField} key=${field.name} field=${field} value=${values[field.name]} error=${shown(field)} onChange=${set(field)} history=${field.kind === "prompt" ? prompts : null} />`;
  const options = fields.filter((field) => !field.required && !field.main && field.name !== "prompt");
  return html`<form class="card form" onSubmit=${submit} onKeyDown=${(event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && submit(event)} noValidate>
    <div class="tabs" role="group" aria-label="View">
      <button type="button" aria-pressed=${String(view === "form")} onClick=${() => setView("form")}><${Icon} name="sliders" />Form</button>
      <button type="button" aria-pressed=${String(view === "code")} onClick=${() => setView("code")}><${Icon} name="code" />Code</button>
    </div>
    ${view === "code" ? html`<${Later} load=${code} body=${body} problems=${problems} />` : html`
      ${fields.filter((field) => !options.includes(field)).map(row)}
      ${options.length > 0 && html`<${Options} count=${options.filter((field) => field.name in body[field.place]).length} hasError=${options.some((field) => told[field.name])}>${options.map(row)}</${Options}>`}`}
    <${OrderBar} problems=${problems} price=${price} error=${error} known=${told} busy=${busy} rests=${rests} />
  </form>`;
}

const code = () => import("./code.js").then((module) => module.Code);

/** A part of the screen that few look at, loaded when somebody does. */
function Later({ load, ...props }) {
  const { found: component, error, again } = useAsked(load, "code");
  if (error) return html`<${Failure} error=${new Error("This could not be loaded. Nothing is lost; try again.")} onRetry=${again} />`;
  return component ? html`<${component} ...${props} />` : html`<div class="skeleton tall"></div>`;
}

function Options({ count, hasError, children }) {
  const [open, setOpen] = useState(false);
  useEffect(() => void (hasError && setOpen(true)), [hasError]);
  return html`<details class="options" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Options${count > 0 && html`<span class="tag accent">${count} set</span>`}<${Icon} name="chevron" /></summary>
    <div class="stack">${children}</div>
  </details>`;
}

/** Return what the service said about each field, by the pointers of its errors. */
function errorsOf(error, fields) {
  const names = new Set(fields.map((field) => field.name));
  const found = (error?.errors || []).map(({ pointer, detail }) => [pointer.split("/").slice(1).find((step) => names.has(step)), detail]);
  return Object.fromEntries(found.filter(([name]) => name));
}
