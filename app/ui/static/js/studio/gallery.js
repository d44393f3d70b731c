/** S3: all pictures, or all orders, as far back as there are any. What is shown is in the address. */

import { html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { isFree } from "../parts/keys.js";
import { change, go, usePlace } from "../router.js";
import { session } from "../session.js";
import { note } from "./details.js";
import { Filters, asQuery, filtersIn } from "./filters.js";
import { Grid } from "./grid.js";
import { Lightbox } from "./lightbox.js";
import { Listing } from "./listing.js";
import { NothingFound, NothingYet } from "./nothing.js";
import { Orders } from "./orders.js";
import { SelectionBar, useSelection } from "./selection.js";

export function Gallery() {
  const { query } = usePlace();
  const filters = filtersIn(query);
  const isTable = query.view === "orders";
  useGalleryKeys();
  return html`<div class="stack gallery">
    <div class="heading"><h1>${isTable ? "Orders" : "Gallery"}</h1></div>
    <${Filters} filters=${filters} withStatus=${isTable}>
      <div class="tabs views" role="group" aria-label="View">
        <button aria-label="Pictures" aria-pressed=${String(!isTable)} onClick=${() => change({ view: "", status: "", at: "" })}><${Icon} name="grid" /><span>Pictures</span></button>
        <button aria-label="Orders" aria-pressed=${String(isTable)} onClick=${() => change({ view: "orders" })}><${Icon} name="table" /><span>Orders</span></button>
      </div>
    </${Filters}>
    ${isTable ? html`<${Orders} filters=${filters} query=${query} />` : html`<${Pictures} key=${JSON.stringify(filters)} filters=${filters} query=${query} />`}
  </div>`;
}

function Pictures({ filters, query }) {
  const listing = useListing(filters);
  const selection = useSelection();
  const [goal, setGoal] = useState(null);
  const opened = query.picture || null;
  const index = opened ? listing.indexOf((picture) => picture.imageId === opened) : -1;
  const open = (picture, replace = false) => change({ picture: picture.imageId }, { replace });
  const isOf = (jobIds) => (picture) => jobIds.includes(picture.jobId);
  const deleted = (jobIds) => {
    listing.remove(isOf(jobIds));
    selection.drop((entry) => jobIds.includes(entry.jobId));
  };
  const noted = (jobId, notes) => listing.update(isOf([jobId]), notes);
  const select = (picture, range) => selection.toggle(entryOf(picture), range ? between(listing, selection.last, picture).map(entryOf) : []);
  const favored = (picture) => note(picture, { favorite: !picture.favorite }, noted);
  const closed = () => {
    if (index >= 0) setGoal({ index });
    change({ picture: "" });
  };
  return html`
    <${SelectionBar} selection=${selection} onDeleted=${deleted} />
    <${Body} listing=${listing} filters=${filters}><${Grid} ...${{ listing, query, goal }} selected=${selection.entries} onSelect=${select} onFavorite=${favored} onOpen=${open} /></${Body}>
    ${opened && html`<${Lightbox} imageId=${opened} known=${listing.at(index)} previous=${listing.at(index - 1)} next=${index >= 0 ? listing.at(index + 1) : undefined}
      onShow=${(picture) => open(picture, true)} onClose=${closed} onNoted=${noted} onDeleted=${(jobId) => { closed(); deleted([jobId]); }} />`}`;
}

function Body({ listing, filters, children }) {
  if (listing.error && listing.length === 0) return html`<${Failure} error=${listing.error} onRetry=${() => listing.more()} />`;
  if (listing.isEmpty) return Object.keys(filters).length ? html`<${NothingFound} />` : html`<${NothingYet} />`;
  return html`${children}
    <div class="grid-end" role="status">
      ${listing.error && html`<p class="wrong">${listing.error.message} <button onClick=${() => listing.more()}>Try again</button></p>`}
      ${listing.busy && listing.hasMore && html`<p class="hint">${listing.length ? "Loading more …" : "Looking …"}</p>`}
      ${!listing.hasMore && !listing.error && html`<p class="hint">That is all.</p>`}
    </div>`;
}

function useListing(filters) {
  const [, draw] = useState(0);
  const listing = useMemo(() => {
    const wanted = asQuery(filters, session.get()?.userId);
    const read = async (cursor, limit, signal) => {
      const found = await get("/api/images", { ...wanted, cursor, limit }, { signal });
      return { items: found.images, next: found.cursor.next };
    };
    return new Listing(read, () => draw((count) => count + 1));
  }, []);
  useEffect(() => {
    listing.more();
    return () => listing.stop();
  }, []);
  return listing;
}

function entryOf(picture) {
  return { key: picture.imageId, jobId: picture.jobId, imageIds: [picture.imageId], picture };
}

function between(listing, lastKey, picture) {
  const [one, other] = [lastKey, picture.imageId].map((key) => listing.indexOf((each) => each.imageId === key));
  if (one < 0 || other < 0) return [];
  const found = [];
  for (let index = Math.min(one, other); index <= Math.max(one, other); index += 1) if (listing.at(index)) found.push(listing.at(index));
  return found;
}

function useGalleryKeys() {
  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== "g" || !isFree(event)) return;
      event.preventDefault();
      go("/studio");
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}
