/** Two pictures over each other, and a slider between them. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Dialog } from "../parts/dialog.js";
import { Picture } from "../parts/picture.js";

/** @param {{pictures: [object, object], onClose: () => void}} props */
export function Compare({ pictures, onClose }) {
  const [share, setShare] = useState(50);
  const [left, right] = pictures;
  const frame = { aspectRatio: `${left.width || 1} / ${left.height || 1}` };
  return html`<${Dialog} title="Compare two pictures" wide onClose=${onClose}>
    <div class="compare" style=${frame}>
      <${Picture} image=${{ ...right, width: 0 }} prompt=${right.prompt} size=${1024} fit="contain" />
      <div class="over" style=${{ clipPath: `inset(0 ${100 - share}% 0 0)` }}><${Picture} image=${{ ...left, width: 0 }} prompt=${left.prompt} size=${1024} fit="contain" /></div>
      <div class="edge" style=${{ left: `${share}%` }} aria-hidden="true"></div>
    </div>
    <label>How much of the first is shown<input type="range" min="0" max="100" value=${share} onInput=${(event) => setShare(Number(event.target.value))} /></label>
    <div class="row between small"><span>First: ${left.model}${left.seed ? `, seed ${left.seed}` : ""}</span><span>Second: ${right.model}${right.seed ? `, seed ${right.seed}` : ""}</span></div>
  </${Dialog}>`;
}
