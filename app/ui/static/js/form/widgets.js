/** What a value is entered with: one widget for each kind of field. Pictures and rows have modules of their own. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { isEmpty } from "./fields.js";
import { PictureField } from "./pictures.js";
import { ListField, RowsField } from "./rows.js";

const CHIPS = 6;
const SEEDS = 2 ** 31;
/** How many of something a slider may reach over: beyond, a place on it says nothing. */
const SLIDER_REACH = 1000;

/**
 * One field of a form with its label, what is wrong with it, and its widget.
 * @param {{field: import("./fields.js").Field, value: any, onChange: (value: any) => void, error?: string, history?: () => Promise<string[]>}} props
 */
export function FormField({ field, value, onChange, error, history }) {
  const id = `field-${field.name}`;
  const described = [field.description && `${id}-about`, error && `${id}-error`].filter(Boolean).join(" ") || null;
  const bound = { field, value, onChange, id, described, invalid: error ? "true" : null, history };
  const isGroup = ["choice", "size", "image", "images", "rows", "list"].includes(field.kind) && !isSelect(field);
  const about = html`${field.description && html`<span class="hint" id=${`${id}-about`}>${field.description}</span>`}`;
  const wrong = html`${error && html`<span class="wrong small" id=${`${id}-error`} role="alert">${error}</span>`}`;
  const title = html`${field.title}${!field.required && field.kind === "prompt" && html` <span class="hint">optional</span>`}`;
  if (field.kind === "switch") return html`<div class="field"><${Switch} ...${bound} title=${title} />${about}${wrong}</div>`;
  if (isGroup) {
    return html`<fieldset class="field" id=${id} tabindex="-1" aria-describedby=${described}>
      <legend>${title}</legend>${about}<${widgetOf(field)} ...${bound} />${wrong}
    </fieldset>`;
  }
  return html`<div class="field"><label for=${id}>${title}</label>${about}<${widgetOf(field)} ...${bound} />${wrong}</div>`;
}

function widgetOf(field) {
  if (isSelect(field)) return Select;
  return { prompt: Prompt, text: Text, choice: Chips, number: NumberField, seed: Seed, size: Size, image: PictureField, images: PictureField, rows: RowsField, list: ListField }[field.kind] || Text;
}

function isSelect(field) {
  return field.kind === "choice" && field.choices.length > CHIPS && !field.drawn;
}

function Prompt({ field, value = "", onChange, id, described, invalid, history }) {
  const [place, setPlace] = useState(-1);
  const pressed = async (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const isBlank = event.target.value === "" || place >= 0;
    if (!step || !history || !isBlank || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const prompts = await history();
    const next = Math.max(-1, Math.min(prompts.length - 1, place + step));
    setPlace(next);
    onChange(next < 0 ? "" : prompts[next]);
  };
  const typed = (event) => {
    setPlace(-1);
    onChange(event.target.value);
  };
  const left = field.maxLength - [...value].length;
  return html`<textarea id=${id} name=${field.name} rows="4" dir="auto" required=${field.required} aria-describedby=${described} aria-invalid=${invalid}
      placeholder="A red bicycle leaning on a yellow wall, morning light" value=${value} onInput=${typed} onKeyDown=${pressed}></textarea>
    <span class="row between hint small"><span>${history && html`<kbd>↑</kbd> earlier prompts`}</span>
    ${left < 500 && html`<span class=${left < 0 ? "wrong number" : "number"}>${left < 0 ? `${-left} characters too many` : `${left} characters left`}</span>`}</span>`;
}

function Text({ field, value = "", onChange, id, described, invalid }) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return html`<input id=${id} name=${field.name} dir="auto" required=${field.required} aria-describedby=${described} aria-invalid=${invalid} value=${text}
    placeholder=${isEmpty(field.default) ? "" : String(field.default)} onInput=${(event) => onChange(event.target.value)} />`;
}

function Chips({ field, value, onChange, described }) {
  const now = value ?? field.default;
  return html`<div class="choices" aria-describedby=${described}>${field.choices.map(
    (choice) => html`<label key=${choice} class="choice"><input type="radio" name=${field.name} value=${choice} checked=${now === choice} onChange=${() => onChange(choice)} />
      <span>${field.drawn && html`<${Shape} ratio=${choice} />`}${wordsOf(choice)}</span></label>`,
  )}</div>`;
}

function Select({ field, value, onChange, id, described, invalid }) {
  const now = value ?? field.default ?? "";
  return html`<select id=${id} name=${field.name} aria-describedby=${described} aria-invalid=${invalid} value=${now} onChange=${(event) => onChange(field.choices.find((choice) => String(choice) === event.target.value))}>
    ${isEmpty(field.default) && html`<option value="">Not set</option>`}
    ${field.choices.map((choice) => html`<option value=${choice} selected=${choice === now}>${wordsOf(choice)}</option>`)}
  </select>`;
}

function Switch({ field, value, onChange, id, described, title }) {
  const on = Boolean(value ?? field.default);
  return html`<label class="switch" for=${id}><input id=${id} name=${field.name} type="checkbox" role="switch" aria-describedby=${described} checked=${on} onChange=${(event) => onChange(event.target.checked)} /><span>${title}</span></label>`;
}

function NumberField({ field, value, onChange, id, described, invalid }) {
  const hasSlider = field.max - field.min <= SLIDER_REACH;
  const step = field.whole ? 1 : (field.max - field.min) / 100 >= 0.1 ? 0.1 : 0.05;
  const typed = (event) => onChange(event.target.value === "" ? undefined : event.target.value);
  const now = value ?? "";
  return html`<div class="with-number">
    ${hasSlider && html`<input type="range" aria-label=${`${field.title}, slider`} min=${field.min} max=${Math.min(field.max, reachOf(field))} step=${step} value=${value ?? field.default ?? field.min} onInput=${(event) => onChange(Number(event.target.value))} />`}
    <input id=${id} name=${field.name} class="number" type="number" inputmode=${field.whole ? "numeric" : "decimal"} min=${field.min} max=${field.max} step=${field.whole ? 1 : "any"}
      required=${field.required} aria-describedby=${described} aria-invalid=${invalid} placeholder=${isEmpty(field.default) ? "" : String(field.default)} value=${now} onInput=${typed} />
  </div>`;
}

/** A hundred pictures can be typed; the slider is for what people usually order. */
function reachOf(field) {
  return field.name === "num_images" ? 8 : field.max;
}

function Seed({ field, value, onChange, id, described, invalid }) {
  const typed = (event) => onChange(event.target.value === "" ? undefined : event.target.value);
  const roll = () => onChange(crypto.getRandomValues(new Uint32Array(1))[0] % SEEDS);
  return html`<div class="row seed">
    <input id=${id} name=${field.name} class="number" type="number" inputmode="numeric" min=${field.min} max=${field.max} step="1" aria-describedby=${described} aria-invalid=${invalid}
      placeholder="Another each time" value=${value ?? ""} onInput=${typed} />
    <button type="button" class="square" aria-label="Roll a seed" title="Roll a seed" onClick=${roll}><${Icon} name="dice" /></button>
    <button type="button" class="square" aria-label=${isEmpty(value) ? "The seed is another each time" : "Let the seed be another each time"} title=${isEmpty(value) ? "Another seed each time" : "This seed every time; press to let go"}
      disabled=${isEmpty(value)} onClick=${() => onChange(undefined)}><${Icon} name=${isEmpty(value) ? "unlock" : "lock"} /></button>
  </div>`;
}

const PRESETS = { square_hd: ["Square HD", "1:1"], square: ["Square", "1:1"], portrait_4_3: ["Portrait", "3:4"], portrait_16_9: ["Tall", "9:16"], landscape_4_3: ["Landscape", "4:3"], landscape_16_9: ["Wide", "16:9"] };
const OWN_SIZE = { width: 1024, height: 1024 };

function Size({ field, value, onChange, id, described }) {
  const now = value ?? field.default;
  const isOwn = typeof now === "object" && now !== null;
  const side = (name) => (event) => onChange({ ...now, [name]: event.target.value === "" ? "" : Number(event.target.value) });
  return html`<div class="choices" aria-describedby=${described}>
      ${field.choices.map((choice) => html`<label key=${choice} class="choice"><input type="radio" name=${field.name} value=${choice} checked=${now === choice} onChange=${() => onChange(choice)} />
        <span><${Shape} ratio=${PRESETS[choice]?.[1]} />${PRESETS[choice]?.[0] || wordsOf(choice)}</span></label>`)}
      <label class="choice"><input type="radio" name=${field.name} value="own" checked=${isOwn} onChange=${() => onChange(OWN_SIZE)} /><span><${Icon} name="sliders" />Own size</span></label>
    </div>
    ${isOwn && html`<div class="row own-size">
      <label class="beside" for=${`${id}-width`}>Width<input id=${`${id}-width`} class="number" type="number" inputmode="numeric" min="1" max=${field.max} value=${now.width} onInput=${side("width")} /></label>
      <span aria-hidden="true">×</span>
      <label class="beside" for=${`${id}-height`}>Height<input id=${`${id}-height`} class="number" type="number" inputmode="numeric" min="1" max=${field.max} value=${now.height} onInput=${side("height")} /></label>
      <${Shape} ratio=${`${now.width}:${now.height}`} />
    </div>`}`;
}

/** A ratio as a small drawing. */
export function Shape({ ratio }) {
  const [across, down] = String(ratio || "").split(":").map(Number);
  if (!(across > 0 && down > 0)) return null;
  const scale = 14 / Math.max(across, down);
  const [width, height] = [Math.max(3, across * scale), Math.max(3, down * scale)];
  return html`<svg class="shape" viewBox="0 0 16 16" aria-hidden="true"><rect x=${8 - width / 2} y=${8 - height / 2} width=${width} height=${height} rx="1.500" /></svg>`;
}

/** Return a choice in words: "square_hd" is "Square hd"; what has no letters stays. */
function wordsOf(choice) {
  const text = String(choice).replaceAll("_", " ");
  return /^[a-z]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}
