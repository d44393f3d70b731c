/**
 * What is being made ready on the Create screen. It outlives the screen, a reload and a session that has ended; signing out clears it.
 *
 * Other screens put things in: `useSettings`, `useValue` and `useReference` fill the form and go there.
 */

import { newKey } from "../api.js";
import { go } from "../router.js";
import { onLeave, session } from "../session.js";
import { store } from "../store.js";

const KEPT_AS = "studio.draft";
/** What a picture may be large before a draft is kept without it: storage of a tab is small. */
const KEPT_CHARS = 200_000;
export const CREATE = "/studio";

/**
 * `orderKey`: the idempotency key of the next order, made anew with every change and after every order. `focus`: of the reference mode.
 * `wantsPicture`: a picture was put in from elsewhere, so the model should be one that takes some.
 * @typedef {{mode: "model" | "reference", model: string, values: Record<string, any>, focus: string, wantsPicture?: boolean,
 *   orderKey: string}} Draft
 */
export const draft = store(/** @type {Draft} */ (remembered()));

draft.watch((now) => {
  const values = kept(now.values);
  // Without a picture that cannot be kept it is another order, which needs another key.
  const orderKey = JSON.stringify(refsIn(values)) === JSON.stringify(refsIn(now.values)) ? now.orderKey : undefined;
  const text = JSON.stringify({ ...now, values, orderKey });
  if (text.length <= KEPT_CHARS) sessionStorage.setItem(KEPT_AS, text);
});
onLeave(() => {
  draft.set(fresh());
  sessionStorage.removeItem(KEPT_AS);
});

/** Change the draft; the next order is then another one. */
export function edit(changes) {
  draft.set((now) => ({ ...now, ...changes, orderKey: newKey() }));
}

export function setValue(name, value) {
  edit({ values: { ...draft.get().values, [name]: value } });
}

/** The order was accepted: the next one, of the same form too, is a new one. */
export function ordered() {
  edit({});
}

/** Fill the form with all settings of a job, and go there. @param {{model: string, inputs: object, options: object}} config */
export function useSettings({ model, inputs, options }, changes = {}) {
  edit({ mode: "model", model, values: { ...inputs, ...options, ...changes } });
  go(CREATE);
}

/** Take one value over, such as a prompt or a seed; everything else in the form stays. */
export function useValue(name, value) {
  setValue(name, value);
  go(CREATE);
}

/** Make a new picture after one. @param {{imageId: string, url: string, thumbnailUrl?: string}} image */
export function useReference(image) {
  const picture = { ref: `upload:${image.imageId}`, preview: image.thumbnailUrl || image.url, name: "One of my pictures" };
  const mode = session.get()?.kind === "user" ? "reference" : "model";
  edit({ mode, wantsPicture: true, values: { ...draft.get().values, reference: picture, image_url: picture, image_urls: [picture] } });
  go(CREATE);
}

function fresh() {
  return { mode: "model", model: "", values: {}, focus: "subject", orderKey: newKey() };
}

function remembered() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEPT_AS));
    return found?.values ? { ...fresh(), ...found } : fresh();
  } catch {
    return fresh();
  }
}

/** Return what is sent of all pictures. */
function refsIn(values) {
  return Object.values(values).flat().map((each) => each?.ref).filter(Boolean);
}

/** Return values without what cannot be kept: files on their way, previews that only this page can show, pictures as data. */
function kept(values) {
  const plain = (value) => {
    if (Array.isArray(value)) return value.map(plain).filter((each) => each !== undefined);
    if (!value || typeof value !== "object" || !("ref" in value || "busy" in value)) return value;
    if (value.busy || value.error || !value.ref || value.ref.startsWith("data:")) return undefined;
    const { preview, ...rest } = value;
    return preview?.startsWith("blob:") ? rest : value;
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, plain(value)]));
}
