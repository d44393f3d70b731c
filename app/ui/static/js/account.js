/** The corner that tells who uses the page, what is left to spend, and lets them go. */

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { Icon } from "./parts/icon.js";
import { tokensText } from "./parts/money.js";
import { Dialog } from "./parts/dialog.js";
import { tell } from "./parts/toast.js";
import { balance, session, signOut } from "./session.js";
import { SignInForm } from "./sign_in.js";
import { useStore } from "./store.js";

export function Account() {
  const who = useStore(session);
  const left = useStore(balance);
  const [open, setOpen] = useState(false);
  const [entering, setEntering] = useState(false);
  const [Asked, setAsked] = useState(null);
  const ref = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const closed = (event) => {
      if (event.key === "Escape" || (event.type === "pointerdown" && !ref.current?.contains(event.target))) setOpen(false);
    };
    for (const type of ["keydown", "pointerdown"]) document.addEventListener(type, closed);
    return () => {
      for (const type of ["keydown", "pointerdown"]) document.removeEventListener(type, closed);
    };
  }, [open]);
  if (!who) return null;
  const name = nameOf(who);
  const ask = (what) => async () => {
    setOpen(false);
    const data = await import("./account_data.js").catch(() => tell(new Error("This could not be loaded. Try again.")));
    if (what === "exportData") data?.exportData();
    else setAsked(() => data?.[what]);
  };
  return html`<div class="account" ref=${ref}>
    ${left && html`<span class="balance number" title=${left.held ? `${tokensText(left.held)} held for what is on its way` : null}>${tokensText(left.balance)}</span>`}
    <button class="quiet" aria-haspopup="true" aria-expanded=${String(open)} aria-label=${`Account: ${name}`} onClick=${() => setOpen(!open)}>
      <${Icon} name=${who.kind === "key" ? "key" : "person"} /><${Icon} name="chevron" />
    </button>
    ${open && html`<div class="menu">
      <p class="who"><strong>${name}</strong><span class="hint">${WAYS[who.kind]}</span>${who.kind === "key" && html`<span class="hint">Pictures are for ${who.userId}</span>`}</p>
      ${who.kind === "anonymous" && html`<button class="quiet" onClick=${() => { setOpen(false); setEntering(true); }}><${Icon} name="person" />Sign in</button>`}
      ${who.kind === "user" && html`<button class="quiet" onClick=${ask("ChangePassword")}><${Icon} name="lock" />Change password</button>`}
      ${who.kind !== "anonymous" && html`<button class="quiet" onClick=${ask("exportData")}><${Icon} name="download" />Export ${who.kind === "key" ? "its" : "my"} data</button>`}
      ${who.kind === "user" && html`<button class="quiet" onClick=${ask("DeleteData")}><${Icon} name="trash" />Delete my data</button>
        <button class="quiet" onClick=${ask("SignOutEverywhere")}><${Icon} name="exit" />Sign out everywhere</button>`}
      ${who.kind !== "anonymous" && html`<button class="quiet" onClick=${signOut}><${Icon} name="exit" />Sign out</button>`}
    </div>`}
    ${Asked && html`<${Asked} onClose=${() => setAsked(null)} />`}
    ${entering && html`<${Dialog} title="Sign in" onClose=${() => setEntering(false)}><${SignInForm} onDone=${() => setEntering(false)} /></${Dialog}>`}
  </div>`;
}

const WAYS = {
  user: "Signed in; orders are paid with tokens",
  key: "With an API key; orders are on the operator's account",
  anonymous: "Not signed in; orders are on the operator's account",
};

function nameOf(who) {
  if (who.kind === "user") return who.user?.email || who.userId;
  return who.kind === "key" ? who.name || "API key" : "Guest";
}
