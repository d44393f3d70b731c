/** What is known of a picture, or of an order: the same list in the lightbox and beside an order that brought no picture. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { usdText, tokensText } from "../parts/money.js";
import { Time, secondsText } from "../parts/time.js";
import { tell, toast } from "../parts/toast.js";
import { patch } from "../api.js";
import { copyText } from "../saving.js";

const MAX_TAGS = 20;
const ORIGINS = {
  trainedAlgorithmicMedia: "Made by AI",
  compositeWithTrainedAlgorithmicMedia: "Edited with AI",
};

/** Copy a text and say so. */
export async function copied(text, word) {
  if (await copyText(text)) toast(`${word} copied.`);
  else toast("This browser does not let the page copy. Select the text instead.", { kind: "wrong" });
}

/** @param {{rows: [string, any, string?][]}} props each with a name, what is shown, and a text where it can be copied; empty ones are left out */
export function Facts({ rows }) {
  return html`<dl class="known">${rows
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value, text]) => html`<div key=${name}><dt>${name}</dt><dd>${value}${text && html`<button class="quiet square small-icon" aria-label=${`Copy: ${name}`} onClick=${() => copied(text, name)}><${Icon} name="copy" /></button>`}</dd></div>`)}</dl>`;
}

/** Return the rows of all settings but the prompt. */
export function settingRows(config) {
  const all = { ...config.inputs, ...config.options };
  return Object.entries(all)
    .filter(([name]) => name !== "prompt")
    .map(([name, value]) => [titleOf(name), textOf(value)]);
}

export function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function textOf(value) {
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (typeof value === "string") return value.startsWith("upload:") ? "A picture of yours" : value.length > 200 ? `${value.slice(0, 199)}…` : value;
  if (value?.width && value?.height) return `${value.width} × ${value.height}`;
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value.map(textOf).join(", ");
  return JSON.stringify(value);
}

/** Return what an order cost, in what was paid. */
export function costText(cost, tokens) {
  return tokens ? `${tokensText(tokens)} (${usdText(cost)})` : usdText(cost);
}

/** The rows that an order and a picture share. `thing`: a picture of the gallery's, or a job */
export function orderRows(thing) {
  return [
    ["Time taken", thing.processingTimeMs === null ? null : secondsText(thing.processingTimeMs / 1000)],
    ["Ordered", html`<${Time} at=${thing.createdAt} style="moment" />`],
    ["Project", thing.projectId],
    ["Batch", thing.batchId && html`<a href=${`/studio/batches/${thing.batchId}`}>Show the batch</a>`],
    ["Order", html`<code>${thing.jobId}</code>`, thing.jobId],
  ];
}

/** What the file says of where it comes from. */
export function Origin({ provenance }) {
  if (!provenance) return null;
  const term = (provenance.digitalSourceType || "").split("/").pop();
  return html`<span class="row">
    <span class="tag accent" title=${term ? `IPTC digital source type: ${term}` : "Told by its order"}>${ORIGINS[term] || "Made by AI"}</span>
    ${provenance.c2pa && html`<span class="tag" title="The file has a signed C2PA manifest, kept as it came; it is not verified here">C2PA</span>`}
  </span>`;
}

/** Note something of a picture's order; `noted` is told at once, and told back where it fails. */
export async function note(picture, notes, noted) {
  const before = Object.fromEntries(Object.keys(notes).map((name) => [name, picture[name]]));
  noted(picture.jobId, notes);
  try {
    await patch(`/api/jobs/${picture.jobId}`, notes);
  } catch (error) {
    noted(picture.jobId, before);
    tell(error);
  }
}

/** @param {{jobId: string, tags: string[], onNoted: (jobId: string, notes: object) => void}} props */
export function Tags({ jobId, tags, onNoted }) {
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const save = async (next) => {
    setBusy(true);
    await patch(`/api/jobs/${jobId}`, { tags: next }).then(() => {
      onNoted(jobId, { tags: next });
      setTyped("");
    }, tell);
    setBusy(false);
  };
  const added = (event) => {
    event.preventDefault();
    const tag = typed.trim();
    if (tag && !tags.includes(tag)) save([...tags, tag]);
  };
  return html`<div class="stack tight"><h3>Tags</h3>
    ${tags.length > 0 && html`<ul class="chips">${tags.map((tag) => html`<li key=${tag} class="chip"><a href=${`/studio/gallery?tag=${encodeURIComponent(tag)}`}>${tag}</a><button class="quiet square small-icon" disabled=${busy} aria-label=${`Remove the tag ${tag}`} onClick=${() => save(tags.filter((each) => each !== tag))}><${Icon} name="close" /></button></li>`)}</ul>`}
    ${tags.length < MAX_TAGS && html`<form class="row tag-form" onSubmit=${added}><input aria-label="New tag" placeholder="New tag" maxlength="64" value=${typed} onInput=${(event) => setTyped(event.target.value)} /><button disabled=${busy || !typed.trim()}>Add</button></form>`}
  </div>`;
}
