/** Short words about what has just happened, read out too. */

import { html, useEffect } from "../../vendor/htm-preact.js";
import { store, useStore } from "../store.js";
import { Icon } from "./icon.js";

const LASTS_MS = 6000;
const shown = store([]);
let next = 1;

/** @param {string} text @param {{kind?: "done" | "wrong", action?: {text: string, call: () => void}}} more */
export function toast(text, { kind = "done", action } = {}) {
  const id = next;
  next += 1;
  shown.set((now) => [...now.slice(-2), { id, text, kind, action }]);
}

/** Tell of an error; what the user has ended itself is none. */
export function tell(error) {
  if (error.name !== "AbortError") toast(error.message, { kind: "wrong" });
}

function away(id) {
  shown.set((now) => now.filter((each) => each.id !== id));
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${useStore(shown).map((each) => html`<${Toast} key=${each.id} ...${each} />`)}</div>`;
}

function Toast({ id, text, kind, action }) {
  useEffect(() => {
    const timer = setTimeout(() => away(id), kind === "wrong" ? LASTS_MS * 2 : LASTS_MS);
    return () => clearTimeout(timer);
  }, [id]);
  const acted = () => {
    away(id);
    action.call();
  };
  return html`<div class=${`toast ${kind}`}>
    <${Icon} name=${kind === "wrong" ? "alert" : "check"} /><span>${text}</span>
    ${action && html`<button class="quiet" onClick=${acted}>${action.text}</button>`}
    <button class="quiet square" aria-label="Dismiss" onClick=${() => away(id)}><${Icon} name="close" /></button>
  </div>`;
}
