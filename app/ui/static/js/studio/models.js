/** The models of this service: their list, and what each takes. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Icon } from "../parts/icon.js";
import { usdText } from "../parts/money.js";

const CATEGORIES = { "text-to-image": "From words", "image-to-image": "From pictures" };
const PICTURE = /(^|_)images?_urls?$/;
let list = null;
const details = new Map();

/** Return what a call resolves to, asked once; a failure may be asked again. */
function once(kept, ask, put) {
  return kept || put(ask().catch((error) => {
    put(null);
    throw error;
  }));
}

export function modelList() {
  return once(list, () => get("/api/images/models").then((found) => found.models), (promise) => (list = promise));
}

/** Return a model with its `inputSchema`, prices and limits. */
export function modelDetail(name) {
  return once(details.get(name), () => get(`/api/images/models/${encodeURIComponent(name)}`), (promise) => {
    details.set(name, promise);
    return promise;
  });
}

/** Return what `ask` resolves to, with the error where it does not: `{found, error, again}`. */
export function useAsked(ask, key) {
  const [state, setState] = useState({});
  const load = () => {
    let isOver = false;
    setState((now) => (now.key === key && now.found ? now : { key }));
    ask().then((found) => isOver || setState({ key, found }), (error) => isOver || setState({ key, error }));
    return () => (isOver = true);
  };
  useEffect(load, [key]);
  return { ...(state.key === key ? state : {}), again: load };
}

/** Return models by category, the well-known ones first. */
export function byCategory(models) {
  const names = [...new Set([...Object.keys(CATEGORIES), ...models.map((model) => model.category)])];
  return names.map((name) => ({ title: CATEGORIES[name] || name, models: models.filter((model) => model.category === name) })).filter((group) => group.models.length);
}

/** How many pictures a model needs, in words; nothing for none. */
export function needsText(model) {
  const needed = model.requiredInputs.filter((name) => PICTURE.test(name));
  if (!needed.length) return "";
  const isMany = needed.some((name) => name.endsWith("s"));
  return isMany ? "needs pictures" : needed.length === 1 ? "needs 1 picture" : `needs ${needed.length} pictures`;
}

/**
 * @param {{models: object[], chosen: string, mode: "model" | "reference", hasReference: boolean,
 *   onModel: (name: string) => void, onReference: () => void}} props
 */
export function ModelPicker({ models, chosen, mode, hasReference, onModel, onReference }) {
  return html`<fieldset class="picker"><legend class="unseen">How to make it</legend>
    ${byCategory(models).map((group) => html`<div class="group" key=${group.title}><h2>${group.title}</h2>
      ${group.title === CATEGORIES["image-to-image"] && hasReference && html`<${Card} name="after a reference" checked=${mode === "reference"} onChoose=${onReference}
        title="After a reference" text="Keep a subject, a face or the whole picture of yours." facts=${["guided"]} icon="frame" />`}
      ${group.models.map((model) => html`<${Card} key=${model.name} name=${model.name} checked=${mode === "model" && chosen === model.name} onChoose=${() => onModel(model.name)}
        title=${model.name} text=${model.description} facts=${factsOf(model)} />`)}
    </div>`)}
  </fieldset>`;
}

function factsOf(model) {
  return [usdText(model.costPerImage), model.usualSeconds >= 1 ? `about ${Math.round(model.usualSeconds)} s` : "", needsText(model)].filter(Boolean);
}

function Card({ name, checked, onChoose, title, text, facts, icon }) {
  const ref = useRef(null);
  useEffect(() => void (checked && ref.current?.scrollIntoView({ block: "nearest", inline: "nearest" })), [checked]);
  return html`<label class="model" ref=${ref}><input type="radio" name="model" value=${name} checked=${checked} onChange=${onChoose} />
    <span class="inner"><strong>${icon && html`<${Icon} name=${icon} />`}${title}</strong><span class="hint">${text}</span><span class="facts number">${facts.map((fact) => html`<span>${fact}</span>`)}</span></span>
  </label>`;
}
