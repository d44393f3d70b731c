/** The code tab: exactly this form as a script. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { tell, toast } from "../parts/toast.js";
import { session } from "../session.js";
import { useStore } from "../store.js";
import { draft } from "./draft.js";
import { snippetsOf } from "./snippets.js";

const CREDENTIALS = {
  user: html`Put your token into <code>IMAGEGEN_TOKEN</code>: the answer of <code>/api/auth/login</code> has it.`,
  key: html`Put your key into <code>IMAGEGEN_KEY</code>.`,
  anonymous: html`This service takes orders without a key. OpenAI's SDK sends one always: put it into <code>IMAGEGEN_KEY</code>.`,
};

export function Code({ body, problems }) {
  const who = useStore(session);
  const { orderKey } = useStore(draft);
  const [language, setLanguage] = useState("curl");
  const found = snippetsOf({ server: location.origin, body, caller: who, orderKey });
  const { text, why } = found[language];
  const copied = () => copy(text).then(() => toast("Copied"), tell);
  return html`<div class="stack tight code">
    <div class="chips" role="group" aria-label="Language">${Object.entries(found).map(([name, each]) => html`<button type="button" class="chip" key=${name} aria-pressed=${String(name === language)} onClick=${() => setLanguage(name)}>${each.title}</button>`)}</div>
    ${text === null ? html`<p class="hint">${why}</p>` : html`<div class="snippet">
      <button type="button" class="quiet" aria-label="Copy the code" onClick=${copied}><${Icon} name="copy" />Copy</button>
      <pre tabindex="0" role="region" aria-label=${`The order in ${found[language].title}`}><code>${text}</code></pre></div>`}
    <p class="hint small">${CREDENTIALS[who?.kind] || ""} Run twice with the same <code>Idempotency-Key</code>, it is one order.${Object.keys(problems).length > 0 && " The form is not complete yet."}</p>
  </div>`;
}

/** Where the connection is not secure, as in many a LAN, browsers have no clipboard for pages; the old way works there. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser does not let pages copy here; select the text instead.");
  return undefined;
}
