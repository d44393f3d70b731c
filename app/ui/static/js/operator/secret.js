/** Something that is shown this once: it stays until whoever reads it says that it is kept. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { copyText } from "../saving.js";

/** @param {{title: string, what: string, text: string, onClose: () => void, children?: any}} props `what` names it */
export function Secret({ title, what, text, onClose, children }) {
  const [copied, setCopied] = useState(false);
  return html`<${Dialog} title=${title} onClose=${onClose} firm>
    <label>${what}<input readonly class="secret" value=${text} onFocus=${(event) => event.target.select()} /></label>
    <p class="notice warn">It is shown this once. Nobody can read it again.</p>
    ${children}
    <footer><button onClick=${async () => setCopied(await copyText(text))}><${Icon} name=${copied ? "check" : "copy"} />${copied ? "Copied" : "Copy"}</button>
      <button class="primary" onClick=${onClose}>I have kept it</button></footer>
  </${Dialog}>`;
}
