/** S4: one picture as large as there is room, with everything that made it, and all that can be done with it. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { isTyping } from "../parts/keys.js";
import { Picture } from "../parts/picture.js";
import { Facts, Origin, Tags, copied, costText, note, orderRows, settingRows } from "./details.js";
import { useReference, useSettings, useValue } from "./draft.js";
import { Delete } from "./selection.js";

/**
 * @param {{imageId: string, known?: object, previous?: object, next?: object, onShow: (picture: object) => void, onClose: () => void,
 *   onNoted: (jobId: string, notes: object) => void, onDeleted: (jobId: string) => void}} props `known`: the picture, where the list has it
 */
export function Lightbox({ imageId, known, previous, next, onShow, onClose, onNoted, onDeleted }) {
  const [fetched, setFetched] = useState(null);
  const [error, setError] = useState(null);
  const [zoomed, setZoomed] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const picture = known || (fetched?.imageId === imageId ? fetched : null);
  useEffect(() => {
    setZoomed(false);
    setError(null);
    if (!known) get(`/api/images/${encodeURIComponent(imageId)}`).then(setFetched, setError);
  }, [imageId]);
  const noted = (jobId, notes) => {
    setFetched((now) => now && { ...now, ...notes });
    onNoted(jobId, notes);
  };
  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "ArrowLeft" && previous && !zoomed) onShow(previous);
    else if (event.key === "ArrowRight" && next && !zoomed) onShow(next);
    else if (event.key === "z" && picture) setZoomed(!zoomed);
    else if (event.key === "f" && picture) note(picture, { favorite: !picture.favorite }, noted);
    else return;
    event.preventDefault();
  };
  return html`<${Dialog} title=${picture?.prompt || "Picture"} bare onClose=${onClose}>
    <div class="lightbox" onKeyDown=${pressed}>
      <div class=${`stage${zoomed ? " zoomed" : ""}`} tabindex=${zoomed ? 0 : -1} role="group" aria-label="Picture">
        ${picture && html`<${Picture} key=${imageId + zoomed} image=${zoomed ? { ...picture, width: 0 } : picture} prompt=${picture.prompt} size=${zoomed ? "full" : 1024} fit="contain" />`}
        ${!picture && !error && html`<div class="picture coming" role="status" aria-label="Loading"></div>`}
        ${error && html`<${Missing} error=${error} />`}
        ${previous && html`<button class="step left square" aria-label="Previous picture" onClick=${() => onShow(previous)}><${Icon} name="left" /></button>`}
        ${next && html`<button class="step right square" aria-label="Next picture" onClick=${() => onShow(next)}><${Icon} name="right" /></button>`}
      </div>
      <aside class="panel">
        <div class="row between">
          <span class="row">${picture && html`<button class="quiet square star-button" aria-pressed=${String(Boolean(picture.favorite))} aria-label="Favorite" title="Favorite (f)" onClick=${() => note(picture, { favorite: !picture.favorite }, noted)}><${Icon} name="star" filled=${picture.favorite} /></button>
            <button class="quiet square" aria-pressed=${String(zoomed)} aria-label="Real size" title="Real size (z)" onClick=${() => setZoomed(!zoomed)}><${Icon} name="frame" /></button>`}</span>
          <span class="row">${picture && html`<button class="quiet square" aria-label="Delete" title="Delete" onClick=${() => setDeleting(true)}><${Icon} name="trash" /></button>`}
            <button class="quiet square" aria-label="Close" title="Close (Esc)" onClick=${onClose}><${Icon} name="close" /></button></span>
        </div>
        ${picture && html`<${Panel} picture=${picture} onNoted=${noted} />`}
      </aside>
      ${deleting && html`<${Delete} jobIds=${[picture.jobId]} onClose=${() => setDeleting(false)} onDeleted=${(gone) => (gone.length ? onDeleted(picture.jobId) : setDeleting(false))} />`}
    </div>
  </${Dialog}>`;
}

function Missing({ error }) {
  const text = error.status === 404 ? "There is no such picture: it was deleted, or it was never yours." : error.message;
  return html`<div class="empty" role="alert"><span class="badge"><${Icon} name="image" /></span><h2>Nothing to see here</h2><p>${text}</p></div>`;
}

function Panel({ picture, onNoted }) {
  const { config, seed } = picture;
  const whole = seed ? { seed } : {};
  const link = `${location.origin}/studio/gallery?picture=${picture.imageId}`;
  const anew = Object.fromEntries(Object.keys({ ...config.inputs, ...config.options }).filter((name) => name === "seed").map((name) => [name, undefined]));
  return html`
    <section class="stack tight">
      <div class="row between"><h3>Prompt</h3>${picture.prompt && html`<button class="quiet small" onClick=${() => copied(picture.prompt, "Prompt")}><${Icon} name="copy" />Copy</button>`}</div>
      <p class="prompt" dir="auto">${picture.prompt || html`<span class="hint">Without a prompt</span>`}</p>
      <${Origin} provenance=${picture.provenance} />
    </section>
    <section class="uses" aria-label="What can be done">
      <button class="primary" onClick=${() => useSettings(config, whole)}><${Icon} name="again" />Use all settings</button>
      <button onClick=${() => useSettings(config, anew)}><${Icon} name="dice" />Variations</button>
      <button disabled=${!picture.prompt} onClick=${() => useValue("prompt", picture.prompt)}>Use prompt</button>
      <button disabled=${!seed} onClick=${() => useValue("seed", seed)}>Use seed</button>
      <button onClick=${() => useReference(picture)}>As reference</button>
      ${picture.downloadUrl && html`<a class="button" href=${picture.downloadUrl} download><${Icon} name="download" />Download</a>`}
      <button onClick=${() => copied(link, "Link")}><${Icon} name="copy" />Copy link</button>
    </section>
    <${Tags} jobId=${picture.jobId} tags=${picture.tags} onNoted=${onNoted} />
    <section class="stack tight"><h3>Settings</h3><${Facts} rows=${[["Model", picture.model], ...settingRows(config).filter(([name]) => name !== "Seed"), ["Seed", seed && html`<span class="number">${seed}</span>`, seed]]} /></section>
    <section class="stack tight"><h3>Picture</h3><${Facts} rows=${[
      ["Size", `${picture.width} × ${picture.height}, ${sizeText(picture.sizeBytes)}`],
      ["Cost of the order", costText(picture.jobCost, picture.jobTokens)],
      ...orderRows(picture),
      ["Request", picture.requestId && html`<code>${picture.requestId}</code>`, picture.requestId],
      ["SHA-256", html`<code>${picture.sha256.slice(0, 16)}…</code>`, picture.sha256],
    ]} /></section>`;
}

function sizeText(bytes) {
  return bytes < 1_000_000 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
