/** S2: what was ordered, a tile for each picture that is to come, from the first moment on. */

import { html, useEffect } from "../../vendor/htm-preact.js";
import { countOf, ratioOf } from "../form/body.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { tokensText, usdText } from "../parts/money.js";
import { Picture, altOf } from "../parts/picture.js";
import { Time } from "../parts/time.js";
import { useStore } from "../store.js";
import { setValue, useSettings } from "./draft.js";
import { cancel, dismiss, isEnded, jobs, load, retry, spoken } from "./jobs.js";
import { useAsked } from "./models.js";
import { priceText, usePrice } from "./order.js";

const TILES = 12;
/** Shapes of models whose order does not tell one. */
const USUAL_RATIO = 4 / 3;

export function Strip() {
  const shown = useStore(jobs);
  const said = useStore(spoken);
  const { error, found, again } = useAsked(() => load().then(() => true), "jobs");
  useEffect(() => () => spoken.set(""), []);
  return html`<section class="strip" aria-label="Your pictures">
    <p class="unseen" role="status" aria-live="polite">${said}</p>
    ${error && shown.length === 0 && html`<${Failure} error=${error} onRetry=${again} />`}
    ${found && shown.length === 0 && html`<${Empty} icon="image" title="Your pictures appear here"><p>Say what you want to see, and press Generate.</p></${Empty}>`}
    ${shown.map((job) => html`<${JobTiles} key=${job.jobId} job=${job} />`)}
    ${shown.length > 0 && html`<p class="pager"><a class="button" href="/studio/gallery">All pictures</a></p>`}
  </section>`;
}

function JobTiles({ job }) {
  const settings = { ...job.config.inputs, ...job.config.options };
  const prompt = settings.prompt || "";
  const count = job.status === "completed" ? job.images.length : Math.min(TILES, countOf({ inputs: job.config.inputs, options: job.config.options }));
  const ratio = job.images[0]?.width ? job.images[0].width / job.images[0].height : ratioWith(settings);
  return html`<article class="job" aria-label=${`Order: ${altOf(prompt)}`}>
    <header>
      <p class="prompt" dir="auto" title=${prompt}>${prompt || job.model}</p>
      <p class="hint small row">${job.model && html`<span>${job.model}</span>`}<${Time} at=${job.createdAt} />${job.status === "completed" && html`<span class="number">${priceOf(job)}</span>`}
        ${count < countOf(job.config) && job.status !== "completed" && html`<span>${countOf(job.config)} images</span>`}</p>
      <${Actions} job=${job} />
    </header>
    ${job.status === "failed" || job.status === "canceled" ? html`<${Ended} job=${job} />` : html`<ul class=${`tiles of-${Math.min(count, 4)}`} style=${count === 1 ? { maxWidth: `calc(64vh * ${ratio.toFixed(3)})` } : {}}>
      ${Array.from({ length: count }, (_, index) => html`<li key=${index}>${job.images[index] ? html`<${Done} image=${job.images[index]} prompt=${prompt} />` : html`<${Coming} job=${job} ratio=${ratio} first=${index === 0} />`}</li>`)}
    </ul>`}
  </article>`;
}

function priceOf(job) {
  return job.tokensUsed ? tokensText(job.tokensUsed) : usdText(job.cost);
}

function ratioWith(settings) {
  const isTold = settings.image_size || settings.width || /^\d+:\d+$/.test(settings.aspect_ratio || "");
  return isTold ? ratioOf(settings) : settings.image_urls || settings.image_url ? 1 : USUAL_RATIO;
}

function Actions({ job }) {
  const seed = job.config.options?.seed ?? job.config.inputs?.seed;
  const canReuse = isEnded(job) && job.model && job.operation !== "image_reference";
  return html`<span class="actions">
    ${!isEnded(job) && html`<button class="quiet" disabled=${job.cancelRequested} onClick=${() => cancel(job.jobId)}><${Icon} name="close" />${job.cancelRequested ? "Stopping …" : "Cancel"}</button>`}
    ${canReuse && html`<button class="quiet square" title="Use all settings" aria-label="Use all settings" onClick=${() => useSettings(job.config)}><${Icon} name="sliders" /></button>`}
    ${isEnded(job) && seed !== undefined && html`<button class="quiet square" title=${`Use seed ${seed}`} aria-label=${`Use seed ${seed}`} onClick=${() => setValue("seed", seed)}><${Icon} name="dice" /></button>`}
  </span>`;
}

function Done({ image, prompt }) {
  return html`<a class="tile" href=${`/studio/gallery?picture=${image.imageId}`} aria-label=${`Open: ${altOf(prompt)}`}><${Picture} image=${image} prompt=${prompt} size=${1024} /></a>`;
}

/** Return what is going on, for people. */
function waitText(job) {
  if (job.cancelRequested) return "Asked to stop";
  if (job.queuePosition > 0) return `${job.queuePosition} ahead in the queue`;
  return job.message || "Sent";
}

function Coming({ job, ratio, first }) {
  const percent = Math.round(job.progress || 0);
  const turn = 2 * Math.PI * 18;
  return html`<div class="tile coming skeleton" style=${{ aspectRatio: String(ratio) }}>
    <svg class="ring" viewBox="0 0 44 44" aria-hidden="true"><circle cx="22" cy="22" r="18" /><circle class="done" cx="22" cy="22" r="18" stroke-dasharray=${turn} stroke-dashoffset=${turn * (1 - percent / 100)} /></svg>
    ${first && html`<progress class="unseen" max="100" value=${percent} aria-label="How far the order is" /><span class="small number">${percent} %</span><span class="small hint">${waitText(job)}</span>`}
  </div>`;
}

/** Words for the codes that people meet most; all others have the service's own sentence. */
const REASONS = {
  content_policy_violation: "The model refused this: it goes against its content rules.",
  canceled: "Canceled.",
};

/** Return what to ask for the price of an order once more: pictures and words do not change it. */
function askedOf({ model, config }) {
  if (!model) return null;
  const plain = (place) => Object.fromEntries(Object.entries(place || {}).filter(([name, value]) => !isPicture(value) && name !== "prompt"));
  return { model, inputs: plain(config.inputs), options: plain(config.options) };
}

function isPicture(value) {
  return [value].flat().some((each) => typeof each === "string" && /^(upload:|data:|https?:)/.test(each));
}

function Ended({ job }) {
  const isCanceled = job.status === "canceled";
  const code = job.error?.code || job.status;
  const { price } = usePrice(askedOf(job));
  return html`<div class=${`ended${isCanceled ? "" : " wrong"}`}>
    <${Icon} name=${isCanceled ? "close" : "alert"} />
    <div><p>${REASONS[code] || job.error?.message || job.message}</p>
      <p class="row small">${!isCanceled && html`<span class="tag wrong">${code}</span>`}<span class="tag good">not charged</span></p></div>
    <span class="row"><button onClick=${() => retry(job)}><${Icon} name="again" />${["Try again", priceText(price)].filter(Boolean).join(" · ")}</button>
      <button class="quiet square" aria-label="Take out of this list" title="Take out of this list" onClick=${() => dismiss(job.jobId)}><${Icon} name="close" /></button></span>
  </div>`;
}
