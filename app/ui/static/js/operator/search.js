/** The box that a list is searched by. What is asked for is in the address: it works on reload, and can be passed on. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { change } from "../router.js";

const TYPED_MS = 400;

/** @param {{label: string, placeholder?: string, value: string, name?: string}} props `name`: in the address; "/" leads into the box from anywhere */
export function SearchBox({ label, placeholder, value, name = "q" }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef(0);
  const told = useRef(value);
  const ref = useRef(null);
  useEffect(() => {
    if (value !== told.current) setTyped(value); // By the browser's back button, or a view.
    told.current = value;
  }, [value]);
  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== "/" || event.target.closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      ref.current?.focus();
    };
    document.addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("keydown", pressed);
      clearTimeout(timer.current);
    };
  }, []);
  const search = (text) => {
    clearTimeout(timer.current);
    told.current = text.trim();
    change({ [name]: told.current });
  };
  const input = (event) => {
    setTyped(event.target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(search, TYPED_MS, event.target.value);
  };
  const entered = (event) => event.key === "Enter" && search(event.target.value);
  return html`<label class="search"><span class="unseen">${label}</span><${Icon} name="search" />
    <input ref=${ref} type="search" placeholder=${placeholder || label} maxlength="500" spellcheck="false" autocomplete="off" value=${typed} onInput=${input} onKeyDown=${entered} /></label>`;
}

/** Buttons of which one holds. @param {{label: string, options: [value: string, text: string][], value: string, onChoose: (value: string) => void}} props */
export function Choice({ label, options, value, onChoose }) {
  return html`<div class="chips" role="group" aria-label=${label}>${options.map(([each, text]) => html`<button key=${each} class="chip" aria-pressed=${String(each === value)} onClick=${() => onChoose(each)}>${text}</button>`)}</div>`;
}
