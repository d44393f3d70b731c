/** The button that orders, with its price on it; under it why it cannot be pressed, or what went wrong. */

import { html } from "../../vendor/htm-preact.js";
import { Icon } from "../parts/icon.js";
import { countText, counted, tokensText, usdText } from "../parts/money.js";
import { balance, session } from "../session.js";
import { useStore } from "../store.js";
import { priceText, shortage } from "./order.js";

/**
 * @param {{problems: Record<string, string>, price: object, error: Error | null, known: Record<string, string>, busy: boolean, rests: boolean}} props
 *   `known`: what is told at the fields already
 */
export function OrderBar({ problems, price, error, known, busy, rests }) {
  useStore(balance);
  const reason = reasonOf({ problems, price, error });
  const text = busy ? "Sending …" : rests ? "Ordered" : ["Generate", priceText(price.price)].filter(Boolean).join(" · ");
  const isReady = !reason && price.isCurrent && price.price && !busy && !rests;
  return html`<div class="order">
    <button class="primary large" type="submit" disabled=${busy || rests || (reason ? reason.isWrong : !isReady)} aria-describedby="order-reason"><${Icon} name=${rests ? "check" : "spark"} />${text}</button>
    <p id="order-reason" class=${`small number ${reason?.isWrong ? "wrong" : "hint"}`} aria-live="polite">${reason ? reason.text : aboutOf(price)}</p>
    ${error && html`<${Refusal} error=${error} known=${known} />`}
  </div>`;
}

function reasonOf({ problems, price, error }) {
  const { kind, scopes } = session.get() || {};
  if (kind === "key" && scopes && !scopes.includes("generate")) return { text: "This key may look, and not order.", isWrong: true };
  if (price.error) return { text: price.error.message, isWrong: true };
  const [first] = Object.values(problems);
  if (first) return { text: first, isWrong: false };
  const short = shortage(price.price);
  if (short) return { text: short, isWrong: true };
  return error?.code === "budget_exceeded" ? { text: "The budget of this month does not cover it.", isWrong: true } : null;
}

/** Say what the price is made of, and what is left afterwards. */
function aboutOf(price) {
  const known = price.price;
  if (!known) return " ";
  const images = counted(known.numImages, "image");
  const left = balance.get();
  if (known.tokens === undefined) return `${images}, ${usdText(known.costPerImage)} each`;
  return left ? `${images} · ${countText(known.tokens)} of ${tokensText(left.balance)}, ${countText(left.balance - known.tokens)} left` : images;
}

function Refusal({ error, known }) {
  const isAtFields = error.errors.length > 0 && Object.keys(known).length >= error.errors.length;
  return html`<div class="refusal" role="alert"><${Icon} name="alert" /><p>${isAtFields ? "Something in the form is not right yet; see above." : error.message}${error.status === 0 && " What you have typed is kept; sent again, it is the same order."}</p></div>`;
}
