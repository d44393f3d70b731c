/** A new model from what fal says of an endpoint: looked at, downloaded, and saved where that is possible. */

import { html, useState } from "../../vendor/htm-preact.js";
import { post } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { toast } from "../parts/toast.js";
import { save } from "../saving.js";
import { sentenceOf } from "./doing.js";

const PATH = "/api/admin/models/import";

/** @param {{canSave: boolean, onClose: () => void, onSaved: () => void}} props */
export function ImportModel({ canSave, onClose, onSaved }) {
  const [form, setForm] = useState({ endpoint: "", name: "", costPerImage: "" });
  const [proposal, setProposal] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const typed = (name) => (event) => {
    setForm({ ...form, [name]: event.target.value });
    setProposal(null); // What is shown would not be what is saved.
  };
  const ask = async (more, then) => {
    setBusy(true);
    setError(null);
    await post(PATH, { ...bodyOf(form), ...more }).then(then, setError);
    setBusy(false);
  };
  const look = (event) => {
    event.preventDefault();
    return ask({}, (found) => setProposal(found.proposal));
  };
  const keep = () => ask({ save: true }, ({ proposal: saved }) => {
    toast(`${saved.name} is saved, and in use everywhere within seconds.`);
    onSaved();
    onClose();
  });
  return html`<${Dialog} title="Import a model" wide onClose=${onClose}>
    <form class="stack" onSubmit=${look}>
      <label>Endpoint at fal<input required placeholder="fal-ai/flux/krea" autocomplete="off" spellcheck="false" value=${form.endpoint} onInput=${typed("endpoint")} /></label>
      <div class="pair"><label>Name here <span class="hint">optional</span><input autocomplete="off" value=${form.name} onInput=${typed("name")} /></label>
        <label>USD an image <span class="hint">instead of fal's own price</span><input inputmode="decimal" value=${form.costPerImage} onInput=${typed("costPerImage")} /></label></div>
      ${error && html`<p class="wrong" role="alert">${sentenceOf(error)}</p>`}
      <div><button class=${proposal ? "" : "primary"} disabled=${busy || !form.endpoint.trim()}>${busy && !proposal ? "Asking fal …" : "Show the file"}</button></div>
    </form>
    ${proposal && html`<${Preview} ...${{ proposal, canSave, busy }} onSave=${keep} />`}
  </${Dialog}>`;
}

function bodyOf({ endpoint, name, costPerImage }) {
  const price = costPerImage.trim();
  return { endpoint: endpoint.trim(), ...(name.trim() ? { name: name.trim() } : {}), ...(price ? { costPerImage: Number.isFinite(Number(price)) ? Number(price) : price } : {}) };
}

function Preview({ proposal, canSave, busy, onSave }) {
  const file = `${proposal.name}.toml`;
  const download = () => save(file, new Blob([proposal.text], { type: "text/plain" }));
  return html`<section class="stack" aria-label="The file">
    ${proposal.problems.map((text) => html`<p class="notice wrong" key=${text}>${text}</p>`)}
    ${proposal.losses.map((text) => html`<p class="notice warn" key=${text}>${text}</p>`)}
    <pre class="raw" tabindex="0" role="region" aria-label=${file}>${proposal.text}</pre>
    <footer><button onClick=${download}><${Icon} name="download" />Download ${file}</button>
      <button class="primary" disabled=${busy || !canSave || proposal.problems.length > 0} onClick=${onSave}>Save it here</button></footer>
    ${!canSave && html`<p class="hint">It cannot be saved from here: the folder of <code>REGISTRY_PATH</code> is not set, or cannot be written. Download it and put it there.</p>`}
  </section>`;
}
