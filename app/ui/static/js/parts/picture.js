/** A picture made small. Its place has the right shape before it is there; one that does not come says why. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
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

/**
 * @param {{image: object, prompt?: string, size?: 320 | 1024 | "full", fit?: "cover" | "contain"}} props `size`: "full" shows the picture itself;
 *   `image`: with an `imageId`, a link that has ended is asked for anew
 */
export function Picture({ image, prompt, size = 320, fit = "cover" }) {
  const { shown, state, problem, came, failed } = useLink(image);
  const ratio = image.width && image.height ? { aspectRatio: `${image.width} / ${image.height}` } : {};
  if (problem) return html`<div class="picture gone" style=${ratio}><${Icon} name="image" /><span>${problem}</span></div>`;
  return html`<div class=${`picture ${state} ${fit}`} style=${ratio}>
    <img src=${size === "full" ? shown.url : thumbnailOf(shown, size)} alt=${altOf(prompt)} loading="lazy" decoding="async" onLoad=${came} onError=${failed} />
  </div>`;
}

/** Follow a picture's link; where it leads nowhere, ask once for a new one, or for why there is none. */
function useLink(image) {
  const [renewed, setRenewed] = useState(null);
  const [state, setState] = useState("coming");
  const [problem, setProblem] = useState(null);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const failed = async () => {
    if (renewed || !image.imageId) return setProblem("This picture cannot be shown just now.");
    try {
      const fresh = await get(`/api/images/${image.imageId}`);
      if (alive.current) setRenewed(fresh);
    } catch (error) {
      if (alive.current) setProblem(sentenceOf(error));
    }
  };
  return { shown: renewed || image, state, problem, came: () => setState("there"), failed };
}

function sentenceOf(error) {
  if (error.status === 410) return error.message;
  if (error.status === 404) return "This picture is not there any more.";
  return error.status === 0 ? "No connection." : "This picture cannot be shown just now.";
}
