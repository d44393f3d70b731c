/** What a screen shows as a file: all of what its filters leave, not only what is on the screen. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { tell } from "../parts/toast.js";
import { saveFile } from "../saving.js";

/** @param {{path: string, query?: object, name: string, text?: string}} props */
export function Export({ path, query = {}, name, text = "Export CSV" }) {
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    await saveFile(`${name}.csv`, "GET", path, { query: { ...query, format: "csv" } }).catch(tell);
    setBusy(false);
  };
  return html`<button disabled=${busy} onClick=${save}><${Icon} name="download" />${busy ? "Exporting …" : text}</button>`;
}
