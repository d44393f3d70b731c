/** From a file to what an order can name: an upload of the signed-in user's; for who has a key, the file's own bytes as a data URI. */

import { newKey, post } from "../api.js";
import { session } from "../session.js";

const MAX_BYTES = 10 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;
const SIGNS = [
  [0xff, 0xd8, 0xff], // JPEG
  [0x89, 0x50, 0x4e, 0x47], // PNG
  [0x47, 0x49, 0x46, 0x38], // GIF
  [0x42, 0x4d], // BMP
  [0x52, 0x49, 0x46, 0x46], // WEBP, inside RIFF
];

/** Files whose upload has failed, to be sent again. */
const kept = new Map();

/**
 * Take up a file. `put` is called at once with a new picture, and again when it is there or refused: `{id, name, preview, busy?, ref?, error?}`.
 * @param {File} file @param {(picture: object, isNew: boolean) => void} put
 */
export async function pictureOf(file, put) {
  const picture = { id: newKey(), name: file.name || "Pasted picture", preview: "" };
  const refusal = await refusalOf(file);
  if (refusal) return put({ ...picture, error: refusal }, true);
  picture.preview = URL.createObjectURL(file);
  kept.set(picture.id, file);
  put({ ...picture, busy: true }, true);
  return send(picture, file, put);
}

export function isKept(picture) {
  return kept.has(picture.id);
}

/** Send a picture again whose upload has failed. */
export function again(picture, put) {
  const { error: _, ...rest } = picture;
  put({ ...rest, busy: true }, false);
  return send(rest, kept.get(picture.id), put);
}

async function send(picture, file, put) {
  try {
    put({ ...picture, ref: session.get()?.kind === "user" ? await uploaded(file) : await asData(file) }, false);
    kept.delete(picture.id);
  } catch (error) {
    put({ ...picture, error: error.message }, false);
  }
}

/** Return why a file cannot be used, before it is sent; null where nothing speaks against it. */
async function refusalOf(file) {
  if (file.size > MAX_BYTES) return `This file has ${(file.size / MEGABYTE).toFixed(1)} MB; a picture may have 10 MB.`;
  const head = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  const isPicture = SIGNS.some((sign) => sign.every((byte, index) => head[index] === byte));
  return isPicture ? null : "This file is no picture. JPEG, PNG, WEBP, GIF and BMP can be used.";
}

async function uploaded(file) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  const { data } = await post("/api/uploads", form);
  return `upload:${data.id}`;
}

async function asData(file) {
  const reader = new FileReader();
  const read = new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("This file cannot be read."));
  });
  reader.readAsDataURL(file.type.startsWith("image/") ? file : new Blob([file], { type: "image/png" }));
  return read;
}
