/** The box that a list is searched by. What is asked for is in the address: it works on reload, and can be passed on. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { change } from "../router.js";
import { Icon } from "./icon.js";
import { isFree } from "./keys.js";

const TYPED_MS = 300;

/** @param {{label: string, placeholder?: string, value: string, name?: string}} props `name`: in the address; "/" leads into the box from anywhere */
export function SearchBox({ label, placeholder, value, name = "q" }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef(0);
  const told = useRef(value);
  const ref = useRef(null);
  useEffect(() => {
    if (value !== told.current) setTyped(value); // By the browser's back button, a view or a chip.
    told.current = value;
  }, [value]);
  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== "/" || !isFree(event)) return;
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
