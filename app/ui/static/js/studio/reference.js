/** The reference mode: a picture of one's own, and what of it is to be kept. Signed-in users only, as its endpoint is. */

import { html, useState } from "../../vendor/htm-preact.js";
import { problemsOf } from "../form/body.js";
import { FormField } from "../form/widgets.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";
import { draft, edit, setValue } from "./draft.js";
import { accepted, prompts } from "./jobs.js";
import { orderReference, useOrder, usePrice } from "./order.js";
import { OrderBar } from "./order_bar.js";

const MODEL = "nano-banana-edit";
const FOCUSES = [
  { name: "subject", title: "Subject", icon: "image", text: "Keeps the person or thing; surroundings, light and pose are new." },
  { name: "face", title: "Face", icon: "face", text: "Keeps the face and who it is; everything else is new." },
  { name: "full_image", title: "Full image", icon: "frame", text: "Keeps the whole scene, and changes it as you say." },
];
/** The endpoint has no schema of its own in the registry: these are the rules of its document. */
const FIELDS = [
  { name: "reference", kind: "image", required: true, title: "Your picture", description: "" },
  { name: "prompt", kind: "prompt", required: true, title: "Prompt", description: "", minLength: 5, maxLength: 2000 },
  { name: "reference_shape", kind: "choice", required: false, title: "Shape", description: "", choices: ["1:1", "16:9", "9:16", "4:3", "3:4"], default: "1:1", drawn: true },
  { name: "reference_count", kind: "number", required: false, title: "How many", description: "", whole: true, min: 1, max: 4, default: 1 },
];
const PLACES = { image: "reference", referenceImageId: "reference", prompt: "prompt", aspectRatio: "reference_shape", numberOfImages: "reference_count" };

export function ReferenceForm() {
  const { values, focus } = useStore(draft);
  const [touched, setTouched] = useState(new Set());
  const { order, busy, rests, error } = useOrder(accepted);
  const problems = problemsOf(FIELDS, values);
  const count = Number(values.reference_count ?? 1);
  const price = usePrice(problems.reference_count ? null : { model: MODEL, options: { num_images: count } });
  const told = Object.fromEntries((error?.errors || []).map(({ pointer, detail }) => [PLACES[pointer.split("/")[1]], detail]));
  const submit = (event) => {
    event?.preventDefault();
    setTouched(new Set(FIELDS.map((field) => field.name)));
    const first = FIELDS.find((field) => problems[field.name]);
    if (first) document.getElementById(`field-${first.name}`)?.focus();
    else if (price.isCurrent && price.price) {
      const { prompt, reference, reference_shape: aspectRatio = "1:1" } = values;
      order((headers) => orderReference({ prompt, focus, reference, aspectRatio, numberOfImages: count }, headers));
    }
  };
  const set = (name) => (value) => {
    setTouched((before) => new Set(before).add(name));
    setValue(name, value);
  };
  return html`<form class="card form" onSubmit=${submit} onKeyDown=${(event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && submit(event)} noValidate>
    <${Focus} chosen=${focus} />
    ${FIELDS.map((field) => html`<${FormField} key=${field.name} field=${field} value=${values[field.name]} onChange=${set(field.name)} error=${told[field.name] || (touched.has(field.name) ? problems[field.name] : null)}
      history=${field.kind === "prompt" ? prompts : null} />`)}
    <${OrderBar} problems=${problems} price=${price} error=${error} known=${told} busy=${busy} rests=${rests} />
  </form>`;
}

function Focus({ chosen }) {
  return html`<fieldset class="field"><legend>What to keep</legend><div class="focuses">${FOCUSES.map(
    (focus) => html`<label class="focus" key=${focus.name}><input type="radio" name="focus" value=${focus.name} checked=${chosen === focus.name} onChange=${() => edit({ focus: focus.name })} />
      <span class="inner"><span class="badge"><${Icon} name=${focus.icon} /></span><strong>${focus.title}</strong><span class="hint">${focus.text}</span></span></label>`,
  )}</div></fieldset>`;
}
