/**
 * What a picture's or an order's "Use …" takes to Create: the gallery, the lightbox and the batches put it here, Create takes it out.
 *
 * Only what is there is taken over; the rest of Create's form stays as it is.
 *
 * @typedef {{model?: string, inputs?: object, options?: object, prompt?: string, seed?: string,
 *   reference?: {imageId: string, thumbnailUrl: string, prompt: string}}} Handed
 *   `inputs` and `options`: all settings of an order, in place of what the form has; `seed`: as text, it may exceed 64 bits;
 *   `reference`: a picture to be used as `upload:<imageId>`
 */

import { go } from "../router.js";
import { store } from "../store.js";

export const handed = store(/** @type {Handed | null} */ (null));

/** Take settings to Create, and go there. */
export function handOver(settings) {
  handed.set(settings);
  go("/studio");
}

/** Return what was handed over, once. Create calls it when it opens. */
export function takeOver() {
  const found = handed.get();
  handed.set(null);
  return found;
}
