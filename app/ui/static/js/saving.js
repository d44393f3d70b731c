/** Files that need a credential: fetched with it, and handed to the browser to be saved. */

import { fileOf } from "./api.js";

const LET_GO_MS = 60_000;

/** Fetch a file and save it under a name. Resolves when the browser has it. */
export async function saveFile(name, method, path, options = {}) {
  save(name, await fileOf(method, path, options));
}

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), LET_GO_MS);
}

/** Put a text where it can be pasted from. Resolves to whether that worked: browsers refuse it to pages they do not trust. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text);
  }
}

/** Without a secure connection, as in most LANs, there is no clipboard but that of a selection. */
function copiedByHand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.className = "unseen";
  const host = document.querySelector("dialog[open]") || document.body;
  const had = document.activeElement;
  host.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  had?.focus?.();
  return done;
}
