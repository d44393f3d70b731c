/** Whom the operator's page is for: administrators, and keys of scope `admin`. Others are told what is needed; the service decides anyway. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Empty } from "../parts/empty.js";
import { session, signOut } from "../session.js";
import { SignInForm } from "../sign_in.js";

/** Return what to show to somebody whom the page is not for; nothing for an operator. */
export function gate(who) {
  if (isOperator(who)) return null;
  return who.kind === "anonymous" ? html`<${Door} />` : html`<${NotYours} key=${who.userId} who=${who} />`;
}

function isOperator(who) {
  return who.kind === "key" ? Boolean(who.scopes?.includes("admin")) : who.user?.role === "admin";
}

function Door() {
  return html`<section class="door"><h1>Operator</h1>
    <p class="lead">For administrators, and API keys of scope <code>admin</code>.</p>
    <div class="card"><${SignInForm} /></div></section>`;
}

/** An account may have been made an administrator since it signed in: the service is asked once. */
function NotYours({ who }) {
  const [asked, setAsked] = useState(who.kind !== "user");
  useEffect(() => {
    if (asked) return;
    get("/api/auth/me").then(({ data }) => session.set((now) => (now?.userId === data.user.id ? { ...now, user: data.user } : now)), () => {}).then(() => setAsked(true));
  }, []);
  if (!asked) return null;
  const [what, needed] =
    who.kind === "key"
      ? ["This API key may not see this page", html`It needs the scope <code>admin</code>. Whoever runs the service makes such a key with <code>python -m app keys create --name NAME --scope admin</code>.`]
      : ["This account may not see this page", html`It needs the role <code>admin</code>. Whoever runs the service gives it with <code>python -m app users set-role ${who.user?.email || who.userId} admin</code>.`];
  return html`<${Empty} icon="lock" title=${what}><p>${needed}</p>
    <p class="row"><button onClick=${signOut}>Sign in as somebody else</button><a class="button" href="/studio">To the Studio</a></p></${Empty}>`;
}
