/** The ways in: an account, an API key, or nothing at all where the service allows that. */

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { Dialog } from "./parts/dialog.js";
import { Icon } from "./parts/icon.js";
import { tokensText } from "./parts/money.js";
import { notNow, rules, session, signIn, signOut, signUp, useKey, useNothing } from "./session.js";
import { useStore } from "./store.js";

const SENTENCES = {
  in: { title: "Sign in", action: "Sign in", call: (form) => signIn(form.email, form.password, form.stay) },
  up: { title: "Create an account", action: "Create account", call: (form) => signUp(form.email, form.password, form.stay) },
  key: { title: "Use an API key", action: "Use this key", call: (form) => useKey(form.key.trim(), form.userId.trim(), form.stay) },
};

/** The first screen of somebody whom the page does not know. */
export function SignIn({ name, lead }) {
  return html`<section class="door"><h1>${name}</h1><p class="lead">${lead}</p><div class="card"><${SignInForm} /></div></section>`;
}

/** Asked for in the middle of something: what is behind the dialog stays as it is. */
export function SignInAgain() {
  const who = useStore(session);
  return html`<${Dialog} title="Sign in again" onClose=${notNow}>
    <p>Your session has ended. Sign in again to go on; nothing you have typed is lost.</p>
    <${SignInForm} known=${who?.user?.email || ""} start=${who?.kind === "key" ? "key" : "in"} />
    <p class="small"><button type="button" class="link" onClick=${signOut}><${Icon} name="exit" />Sign out, and clear what is typed</button></p>
  </${Dialog}>`;
}

/** @param {{known?: string, start?: "in" | "up" | "key", onDone?: () => void}} props `known`: the address of who was here before */
export function SignInForm({ known = "", start = "in", onDone = () => {} }) {
  const allowed = useStore(rules);
  const [way, setWay] = useState(start);
  const [form, setForm] = useState({ email: known, password: "", key: "", userId: "", stay: false });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const ref = useRef(null);
  const typed = (field) => (event) => setForm({ ...form, [field]: event.target.type === "checkbox" ? event.target.checked : event.target.value });
  const { action, call } = SENTENCES[way];
  const sent = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await call(form);
      onDone();
    } catch (found) {
      setError(found);
      setBusy(false);
      ref.current?.querySelector("input")?.focus();
    }
  };
  const turn = (next) => () => {
    setWay(next);
    setError(null);
  };
  const isOpen = allowed?.registration === "open";
  return html`<form class="stack" ref=${ref} onSubmit=${sent} noValidate>
    ${isOpen && way !== "key" && html`<div class="tabs" role="group" aria-label="Account">
      <button type="button" aria-pressed=${String(way === "in")} onClick=${turn("in")}>Sign in</button>
      <button type="button" aria-pressed=${String(way === "up")} onClick=${turn("up")}>Create account</button>
    </div>`}
    ${way === "key" ? html`<${KeyFields} form=${form} typed=${typed} />` : html`<${AccountFields} form=${form} typed=${typed} isNew=${way === "up"} tokens=${allowed?.signupTokens} />`}
    <label class="check"><input type="checkbox" checked=${form.stay} onChange=${typed("stay")} />Stay signed in on this device</label>
    ${error && html`<p class="wrong" role="alert">${sentenceOf(error, way)}</p>`}
    <button class="primary large" disabled=${busy || !isComplete(form, way)}>${busy ? "One moment …" : action}</button>
    <div class="row between small">
      ${way === "key" ? html`<button type="button" class="link" onClick=${turn("in")}>Use an account</button>` : html`<button type="button" class="link" onClick=${turn("key")}><${Icon} name="key" />Use an API key</button>`}
      ${allowed?.anonymous && session.get()?.kind !== "anonymous" && html`<button type="button" class="link" onClick=${useNothing}>Go on without</button>`}
    </div>
  </form>`;
}

function AccountFields({ form, typed, isNew, tokens }) {
  return html`
    <label>Email<input type="email" name="email" autocomplete="username" required value=${form.email} onInput=${typed("email")} /></label>
    <label>Password<input type="password" name="password" autocomplete=${isNew ? "new-password" : "current-password"} required value=${form.password} onInput=${typed("password")} /></label>
    ${isNew && html`<p class="hint">8 characters or more.${tokens ? ` A new account starts with ${tokensText(tokens)}.` : ""}</p>`}`;
}

function KeyFields({ form, typed }) {
  return html`
    <label>API key<input type="password" name="key" autocomplete="off" required value=${form.key} onInput=${typed("key")} /></label>
    <label>User <span class="hint">whom the pictures are for; optional</span><input name="userId" autocomplete="off" value=${form.userId} onInput=${typed("userId")} /></label>`;
}

function isComplete(form, way) {
  return Boolean(way === "key" ? form.key.trim() : form.email.trim() && form.password);
}

function sentenceOf(error, way) {
  if (way === "key" && error.status === 401) return "The service does not know this key.";
  return error.errors?.length ? error.errors.map((each) => each.detail).join(" ") : error.message;
}
