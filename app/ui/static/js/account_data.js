/** What people may do with their account: another password, the end of all sessions, a copy of everything, and the end of everything. */

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { call, post } from "./api.js";
import { Confirm, Dialog } from "./parts/dialog.js";
import { tell, toast } from "./parts/toast.js";
import { saveFile } from "./saving.js";
import { session, signOut } from "./session.js";

const ASK_AGAIN_MS = 2000;
const SHORTEST = 8;

/** Save all that is kept of whoever uses the page. */
export async function exportData() {
  const { userId } = session.get();
  toast("Your data is being put together …");
  await saveFile("my-data.ndjson", "GET", `/api/users/${encodeURIComponent(userId)}/export`).then(() => toast("Your data is saved."), tell);
}

/** Go, where the service has ended the session already: it need not be told. */
function leave() {
  session.set((now) => ({ ...now, ended: true }));
  return signOut();
}

export function ChangePassword({ onClose }) {
  const [form, setForm] = useState({ current: "", next: "" });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const ref = useRef(null);
  const typed = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const sent = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await post("/api/auth/password", { currentPassword: form.current, newPassword: form.next });
      toast("Your password is changed. All other sessions have ended.");
      onClose();
    } catch (found) {
      setError(found);
      setBusy(false);
      ref.current?.querySelector("input")?.focus();
    }
  };
  return html`<${Dialog} title="Change password" onClose=${onClose}><form class="stack" ref=${ref} onSubmit=${sent} noValidate>
    <label>Password now<input type="password" autocomplete="current-password" required value=${form.current} onInput=${typed("current")} /></label>
    <label>New password<input type="password" autocomplete="new-password" required value=${form.next} onInput=${typed("next")} /></label>
    <p class="hint">${SHORTEST} characters or more. You stay signed in here; everywhere else you are signed out.</p>
    ${error && html`<p class="wrong" role="alert">${error.errors.length ? error.errors.map((each) => each.detail).join(" ") : error.message}</p>`}
    <button class="primary large" disabled=${busy || !form.current || !form.next}>${busy ? "One moment …" : "Change password"}</button>
  </form></${Dialog}>`;
}

export function SignOutEverywhere({ onClose }) {
  const [busy, setBusy] = useState(false);
  const yes = async () => {
    setBusy(true);
    try {
      await post("/api/auth/logout-all");
    } catch (error) {
      setBusy(false);
      return tell(error);
    }
    return leave();
  };
  return html`<${Confirm} title="Sign out everywhere?" action="Sign out everywhere" keep="Not now" busy=${busy} onYes=${yes} onClose=${onClose}>
    <p>Every session of your account ends, on this device and on all others. What you have ordered goes on.</p></${Confirm}>`;
}

/** Typed, not clicked: this cannot be undone. It goes on at the service also where the page is closed. */
export function DeleteData({ onClose }) {
  const who = session.get();
  const word = who.user?.email || who.userId;
  const [typed, setTyped] = useState("");
  const [progress, setProgress] = useState(null);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const ask = async () => {
    if (!alive.current) return;
    try {
      const found = await call("DELETE", `/api/users/${encodeURIComponent(who.userId)}/data`);
      if (found.status === "deleted") return gone();
      setProgress(found);
      setTimeout(ask, ASK_AGAIN_MS);
    } catch (error) {
      if (progress && (error.status === 401 || error.status === 404)) return gone();
      setProgress(null);
      tell(error);
    }
    return undefined;
  };
  const gone = () => {
    toast("Everything that was kept of you is deleted.");
    leave();
  };
  const yes = () => {
    setProgress({});
    ask();
  };
  return html`<${Confirm} title="Delete everything?" action=${progress ? "Deleting …" : "Delete everything for good"} danger busy=${Boolean(progress) || typed.trim() !== word} onYes=${yes} onClose=${onClose}>
    <p>All your pictures, uploads, prompts, orders and your account itself are deleted for good. Tokens that are left are lost. What was spent stays in the operator's books, under a name that leads to nobody.</p>
    <label><span>Type <strong>${word}</strong> to go on</span><input value=${typed} autocomplete="off" disabled=${Boolean(progress)} onInput=${(event) => setTyped(event.target.value)} /></label>
    ${progress && html`<p class="hint" role="status">This goes on by itself, also when you close the page.</p>`}
  </${Confirm}>`;
}
