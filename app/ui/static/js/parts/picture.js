/** A picture made small. Its place has the right shape before it is there; one that is gone says so. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Icon } from "./icon.js";

const ALT_CHARS = 125;

/** Return what is read out for a picture: its prompt, cut where it gets long. */
export function altOf(prompt) {
  const text = (prompt || "").trim();
  if (!text) return "Picture without a prompt";
  return text.length > ALT_CHARS ? `${text.slice(0, ALT_CHARS - 1)}…` : text;
}

/** Return the address of a picture's thumbnail: 320 or 1024 pixels at most. */
export function thumbnailOf(image, size = 320) {
  return (image.thumbnailUrl || image.url || "").replace(/([?&]size=)\d+/, `$1${size}`);
}

/** @param {{image: object, prompt?: string, size?: 320 | 1024, fit?: "cover" | "contain"}} props */
export function Picture({ image, prompt, size = 320, fit = "cover" }) {
  const [state, setState] = useState("coming");
  const ratio = image.width && image.height ? { aspectRatio: `${image.width} / ${image.height}` } : {};
  if (state === "gone") return html`<div class="picture gone" style=${ratio}><${Icon} name="image" /><span>This picture is not there any more.</span></div>`;
  return html`<div class=${`picture ${state} ${fit}`} style=${ratio}>
    <img src=${thumbnailOf(image, size)} alt=${altOf(prompt)} loading="lazy" decoding="async" onLoad=${() => setState("there")} onError=${() => setState("gone")} />
  </div>`;
}
