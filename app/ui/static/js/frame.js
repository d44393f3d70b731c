/** What stands around every screen of a page: its name, the navigation, who uses it. The same for all pages. */

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { Account } from "./account.js";
import { Icon } from "./parts/icon.js";
import { Failure } from "./parts/empty.js";
import { Toasts } from "./parts/toast.js";
import { place, screenAt, useAddresses, usePlace } from "./router.js";
import { session } from "./session.js";
import { SignIn, SignInAgain } from "./sign_in.js";
import { useStore } from "./store.js";

/**
 * @param {{name: string, lead: string, base: string, screens: object[], footer: {href: string, text: string}[], ready: Promise<void>,
 *   allowed?: (who: object) => any}} props `ready`: when it is known who uses the page; `allowed` returns what to show to somebody whom
 *   the page is not for, or nothing
 */
export function Frame({ name, lead, base, screens, footer, ready, allowed }) {
  useAddresses(base);
  const who = useStore(session);
  const [begun, setBegun] = useState("waiting");
  const begin = (promise) => promise.then(() => setBegun("ready"), setBegun);
  useEffect(() => {
    begin(ready);
    screenAt(screens, place.get().path)?.screen.load().catch(() => {}); // While it is found out who uses the page; a failure is told later.
  }, []);
  const barred = who && allowed?.(who);
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <header class="top">
      <a class="brand" href=${base}><${Mark} />${name}</a>
      ${who && !barred && html`<${Navigation} screens=${screens} />`}
      ${who && html`<${Account} />`}
    </header>
    <main id="main" tabindex="-1"><${Inside} ...${{ begun, who, screens, base, name, lead, barred }} onRetry=${() => location.reload()} /></main>
    <footer class="bottom">${footer.map((link) => html`<a href=${link.href}>${link.text}</a>`)}</footer>
    ${who?.ended && html`<${SignInAgain} />`}
    <${Toasts} />`;
}

function Inside({ begun, who, screens, base, name, lead, barred, onRetry }) {
  if (begun === "waiting") return null;
  if (begun !== "ready") return html`<${Failure} error=${begun} onRetry=${onRetry} />`;
  if (!who) return html`<${SignIn} name=${name} lead=${lead} />`;
  return barred || html`<${Screen} key=${who.kind + who.userId} screens=${screens} base=${base} name=${name} />`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><circle cx="11" cy="11.500" r="3" /><path d="M5 25.500 13 16l5 5.500 3-3.500 6 7.500z" /></svg>`;
}

function Navigation({ screens }) {
  const { path } = usePlace();
  const here = screenAt(screens, path)?.screen;
  const ref = useRef(null);
  useEffect(() => ref.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [path]);
  const current = here?.icon ? here : screens.find((screen) => screen.icon && here?.within === screen.path);
  return html`<nav ref=${ref} aria-label="Screens">${screens
    .filter((screen) => screen.icon)
    .map((screen) => html`<a href=${screen.path} aria-current=${screen === current ? "page" : null}><${Icon} name=${screen.icon} /><span>${screen.title}</span></a>`)}</nav>`;
}

/** Modules of screens, once they are loaded: a screen that was there before is drawn at once. */
const loaded = new Map();

function Screen({ screens, base, name }) {
  const { path } = usePlace();
  const found = screenAt(screens, path);
  const [, draw] = useState(0);
  const [error, setError] = useState(null);
  const first = useRef(true);
  const screen = found?.screen;
  useEffect(() => {
    document.title = screen ? `${screen.title} · ${name}` : name;
    if (!first.current) document.getElementById("main")?.focus({ preventScroll: true });
    first.current = false;
    setError(null);
    if (!screen || loaded.has(screen)) return;
    screen.load().then((component) => {
      loaded.set(screen, component);
      draw((count) => count + 1);
    }, setError);
  }, [screen]);
  if (!screen) return html`<div class="empty"><h1>There is nothing at this address</h1><p><a href=${base}>Back to the start</a></p></div>`;
  if (error) return html`<${Failure} error=${new Error("This screen could not be loaded. Nothing is lost; try again.")} onRetry=${() => location.reload()} />`;
  const component = loaded.get(screen);
  return component ? html`<${component} key=${screen.path} ...${found.params} />` : null;
}
