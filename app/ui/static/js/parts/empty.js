/** What stands where nothing is yet: said kindly, with what to do next; and what stands where something went wrong. */

import { html } from "../../vendor/htm-preact.js";
import { Icon } from "./icon.js";

/** @param {{icon: string, title: string, children?: any}} props */
export function Empty({ icon, title, children }) {
  return html`<div class="empty"><span class="badge"><${Icon} name=${icon} /></span><h2>${title}</h2>${children}</div>`;
}

/** @param {{error: Error, onRetry?: () => void}} props */
export function Failure({ error, onRetry }) {
  return html`<div class="empty" role="alert">
    <span class="badge wrong"><${Icon} name="alert" /></span><h2>${error.status === 0 ? "No connection" : "This did not work"}</h2>
    <p>${error.message}</p>
    ${onRetry && html`<p><button onClick=${onRetry}><${Icon} name="again" />Try again</button></p>`}
  </div>`;
}
