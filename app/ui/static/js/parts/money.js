/** Money: always with its currency; tokens: always called so. */

import { html } from "../../vendor/htm-preact.js";

const AMOUNTS = new Map();
const COUNT = new Intl.NumberFormat();

function amountOf(digits) {
  if (!AMOUNTS.has(digits)) {
    AMOUNTS.set(digits, new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: digits }));
  }
  return AMOUNTS.get(digits);
}

/** Return an amount in words: as many decimals as it needs, two at least, "0.0035 USD". */
export function usdText(usd) {
  return `${amountOf(Math.abs(usd) < 1 ? 6 : 4).format(usd)} USD`;
}

/** Return a number of tokens in words. */
export function tokensText(count) {
  return `${COUNT.format(count)} ${count === 1 ? "token" : "tokens"}`;
}

export function countText(count) {
  return COUNT.format(count);
}

/** Return "1 image", "3 images": `word` takes an s. */
export function counted(count, word) {
  return `${COUNT.format(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** Return what somebody pays: tokens where they pay by tokens, else money. @param {{cost: number, tokens?: number}} price */
export function priceText({ cost, tokens }) {
  return tokens ? tokensText(tokens) : usdText(cost);
}

export function Money({ usd }) {
  return html`<span class="number">${usdText(usd)}</span>`;
}

export function Tokens({ count }) {
  return html`<span class="number">${tokensText(count)}</span>`;
}
