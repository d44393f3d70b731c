/** Pictures that an order brings along: dropped, pasted, picked, or one's own from before. */

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Empty } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { tell } from "../parts/toast.js";
import { session } from "../session.js";
import { refOf } from "./body.js";
import { again, isKept, pictureOf } from "./uploading.js";

const OWN = 60;

/** @param {{field: {kind: "image" | "images", maxItems?: number, title: string}, value: any, onChange: (value: any) => void, id: string}} props */
export function PictureField({ field, value, onChange, id }) {
  const isMany = field.kind === "images";
  const pictures = (isMany ? (Array.isArray(value) ? value : []) : value ? [value] : []).map(known);
  const [picking, setPicking] = useState(false);
  const latest = useRef(pictures);
  latest.current = pictures;
  const set = (next) => {
    latest.current = next;
    onChange(isMany ? next : next[0]);
  };
  const room = isMany ? (field.maxItems ?? Infinity) - pictures.length : 1;
  const put = (picture, isNew) => {
    if (isNew) set(isMany ? [...latest.current, picture] : [picture]);
    else set(latest.current.map((each) => (each.id === picture.id ? picture : each))); // Where it has been removed meanwhile, nothing changes.
  };
  const take = (files) => [...files].slice(0, Math.max(1, room)).forEach((file) => pictureOf(file, put));
  const move = (index, step) => {
    const next = [...pictures];
    next.splice(index + step, 0, ...next.splice(index, 1));
    set(next);
  };
  return html`<div class="pictures">
    ${pictures.map((picture, index) => html`<${Chosen} key=${picture.id || refOf(picture) || index} picture=${picture} number=${isMany ? index + 1 : 0}
      onAgain=${picture.error && isKept(picture) && (() => again(picture, put))} onRemove=${() => set(pictures.filter((_, each) => each !== index))}
      onLeft=${isMany && index > 0 && (() => move(index, -1))} onRight=${isMany && index < pictures.length - 1 && (() => move(index, 1))} />`)}
    ${(isMany ? room > 0 : pictures.length === 0) && html`<${DropZone} id=${id} many=${isMany} small=${pictures.length > 0} title=${field.title} onFiles=${take} onOwn=${() => setPicking(true)} />`}
    ${picking && html`<${OwnPictures} onClose=${() => setPicking(false)} onPick=${(image) => { setPicking(false); put(ownPicture(image), true); }} />`}
  </div>`;
}

function known(picture) {
  return typeof picture === "string" ? { ref: picture, preview: picture.startsWith("http") ? picture : undefined } : picture;
}

function DropZone({ id, many, small, title, onFiles, onOwn }) {
  const [over, setOver] = useState(false);
  const input = useRef(null);
  const zone = useRef(null);
  useEffect(() => {
    const pasted = (event) => {
      const files = [...(event.clipboardData?.files || [])].filter((file) => file.type.startsWith("image/"));
      // Of several places for pictures on a screen, the first that is free takes what is pasted.
      if (!files.length || document.querySelector("[data-drop]") !== zone.current || event.defaultPrevented) return;
      event.preventDefault();
      onFiles(files);
    };
    document.addEventListener("paste", pasted);
    return () => document.removeEventListener("paste", pasted);
  });
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files.length) onFiles(event.dataTransfer.files);
  };
  const picked = (event) => {
    onFiles([...event.target.files]);
    event.target.value = "";
  };
  return html`<div data-drop ref=${zone} class=${`drop${over ? " over" : ""}${small ? " small" : ""}`} onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <${Icon} name="upload" />
    <span><button type="button" class="link" aria-label=${`Choose a picture: ${title}`} onClick=${() => input.current.click()}>Choose</button>${small ? "" : ", drop or paste"}</span>
    <button type="button" class="link" aria-label=${`Take one of my pictures: ${title}`} onClick=${onOwn}>${small ? "My pictures" : "Take one of my pictures"}</button>
    ${!small && html`<span class="hint">JPEG, PNG, WEBP, GIF or BMP, up to 10 MB</span>`}
    <input ref=${input} id=${`${id}-file`} type="file" accept="image/*" multiple=${many} hidden tabindex="-1" onChange=${picked} />
  </div>`;
}

function Chosen({ picture, number, onAgain, onRemove, onLeft, onRight }) {
  const preview = usePreview(picture);
  const name = picture.name || "Picture";
  return html`<figure class=${`chosen${picture.error ? " wrong" : ""}`}>
    ${preview ? html`<img src=${preview} alt="" />` : html`<span class="blank"><${Icon} name="image" /></span>`}
    ${picture.busy && html`<progress aria-label=${`${name} is being sent`} />`}
    <figcaption>${number > 0 && html`<span class="tag number">${number}</span>`}<bdi title=${name}>${name}</bdi></figcaption>
    ${picture.error && html`<p class="small" role="alert">${picture.error}</p>`}
    <span class="actions">
      ${onAgain && html`<button type="button" class="square" aria-label=${`Send ${name} again`} title="Try again" onClick=${onAgain}><${Icon} name="again" /></button>`}
      ${onLeft && html`<button type="button" class="square" aria-label=${`Move ${name} forward`} onClick=${onLeft}><${Icon} name="left" /></button>`}
      ${onRight && html`<button type="button" class="square" aria-label=${`Move ${name} back`} onClick=${onRight}><${Icon} name="right" /></button>`}
      <button type="button" class="square" aria-label=${`Remove ${name}`} onClick=${onRemove}><${Icon} name="close" /></button>
    </span>
  </figure>`;
}

/** Return what to show of a picture; an upload from before a reload is asked for. */
function usePreview(picture) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    if (picture.preview || !picture.ref?.startsWith("upload:") || session.get()?.kind !== "user") return;
    get(`/api/uploads/${picture.ref.slice("upload:".length)}`).then(({ data }) => setFound(data.url), () => {});
  }, [picture.ref]);
  return picture.preview || found || (picture.ref?.startsWith("data:") ? picture.ref : null);
}

function ownPicture(image) {
  return { id: image.imageId, ref: `upload:${image.imageId}`, preview: image.thumbnailUrl || image.url, name: "One of my pictures" };
}

/** The newest pictures of whoever uses the page, to take one. */
function OwnPictures({ onPick, onClose }) {
  const [images, setImages] = useState(null);
  useEffect(() => {
    get("/api/images", { limit: OWN, userId: session.get()?.userId }).then((found) => setImages(found.images), (error) => {
      tell(error);
      onClose();
    });
  }, []);
  return html`<${Dialog} title="My pictures" wide onClose=${onClose}>
    ${images?.length === 0 && html`<${Empty} icon="image" title="No pictures yet" />`}
    <ul class="own">${(images || []).map((image, index) => html`<li key=${image.imageId}><button type="button" aria-label=${`Take picture ${index + 1}`} onClick=${() => onPick(image)}><${Picture} image=${image} prompt=${image.prompt} /></button></li>`)}</ul>
  </${Dialog}>`;
}
