/** A dialog: the browser's own, which keeps the focus inside, gives it back, and closes with Esc. */

import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import { Icon } from "./icon.js";

let made = 0;

/**
 * @param {{title: string, onClose: () => void, wide?: boolean, bare?: boolean, firm?: boolean, children: any}} props
 *   `bare`: no frame of its own, as a lightbox; the title is then only for those who cannot see it
 *   `firm`: it closes only by what is inside, as what it shows cannot be had again
 */
export function Dialog({ title, onClose, wide = false, bare = false, firm = false, children }) {
  const ref = useRef(null);
  const id = useRef(`dialog-${(made += 1)}`);
  useEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    if (!dialog.open) dialog.showModal();
    return () => {
      dialog.close();
      if (opener?.isConnected) opener.focus();
    };
  }, []);
  const canceled = (event) => {
    if (event.target !== ref.current) return; // A file picker's, for one, comes here too.
    event.preventDefault();
    if (!firm) onClose();
  };
  const pressed = (event) => {
    if (event.target === ref.current && !firm) onClose(); // Outside: what is inside is a child.
  };
  const heading = html`<h2 id=${id.current} class=${bare ? "unseen" : ""}>${title}</h2>`;
  return html`<dialog ref=${ref} class=${bare ? "bare" : wide ? "wide" : ""} aria-labelledby=${id.current} onCancel=${canceled} onMouseDown=${pressed}>
    ${bare ? heading : html`<header>${heading}${!firm && html`<button class="quiet square" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>`}</header>`}
    ${bare ? children : html`<div class="body">${children}</div>`}
  </dialog>`;
}

/** Ask before something that cannot be undone, or costs money. `action` is the button's text, and says what it does. */
export function Confirm({ title, action, danger = false, busy = false, keep = "Keep everything as it is", onYes, onClose, children }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="stack">${children}</div>
    <footer>
      <button onClick=${onClose}>${keep}</button>
      <button class=${danger ? "danger" : "primary"} disabled=${busy} onClick=${onYes}>${action}</button>
    </footer>
  </${Dialog}>`;
}
