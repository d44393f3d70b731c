/** What stands where a list of pictures or orders is empty. */

import { html } from "../../vendor/htm-preact.js";
import { Empty } from "../parts/empty.js";
import { clear } from "./filters.js";

export function NothingFound() {
  return html`<${Empty} icon="search" title="Nothing fits"><p>No order fits all of these filters.</p><p><button onClick=${clear}>Clear the filters</button></p></${Empty}>`;
}

export function NothingYet() {
  return html`<${Empty} icon="image" title="No pictures yet"><p>What you order is kept here, with all that made it.</p><p><a class="button primary" href="/studio">Make the first one</a></p></${Empty}>`;
}
