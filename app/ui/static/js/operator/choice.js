/** Buttons of which one holds. */

import { html } from "../../vendor/htm-preact.js";

/** @param {{label: string, options: [value: string, text: string][], value: string, onChoose: (value: string) => void}} props */
export function Choice({ label, options, value, onChoose }) {
  return html`<div class="chips" role="group" aria-label=${label}>${options.map(([each, text]) => html`<button key=${each} class="chip" aria-pressed=${String(each === value)} onClick=${() => onChoose(each)}>${text}</button>`)}</div>`;
}
