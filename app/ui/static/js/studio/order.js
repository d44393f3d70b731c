/** From a form to a job: its price while it is filled in, and the order, which is placed once however often it is sent. */

import { useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { answerOf, post } from "../api.js";
import { tokensText, usdText } from "../parts/money.js";
import { balance, refreshBalance, session } from "../session.js";
import { draft, ordered } from "./draft.js";

const PAUSE_MS = 250;
/** After an order the button rests for a moment: the second half of a double click is no second order. */
const REST_MS = 1200;

/**
 * Return the price of what `asked` (a body of estimate-cost, or null) would cost: `{price, error, isCurrent}`; the last one is kept
 * while the next is asked for.
 */
export function usePrice(asked) {
  const text = asked && JSON.stringify(asked);
  const [state, setState] = useState({ text: null, price: null, error: null });
  const [tries, setTries] = useState(0);
  useEffect(() => {
    if (!text) return undefined;
    const ended = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const price = await post("/api/images/estimate-cost", JSON.parse(text), { signal: ended.signal });
        setState({ text, price, error: null });
      } catch (error) {
        if (error.name !== "AbortError") setState({ text, price: null, error });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [text, tries]);
  useEffect(() => {
    const back = () => setTries((count) => count + 1);
    addEventListener("online", back);
    return () => removeEventListener("online", back);
  }, []);
  const isCurrent = Boolean(text) && state.text === text;
  return { price: text ? state.price : null, error: isCurrent ? state.error : null, isCurrent, again: () => setTries((count) => count + 1) };
}

/** Return a price in the words of whoever pays: tokens for a user, money for everybody else. */
export function priceText(price) {
  if (!price) return "";
  return price.tokens === undefined ? usdText(price.totalCost) : tokensText(price.tokens);
}

/** Return why this price cannot be paid, or null. */
export function shortage(price) {
  const left = balance.get();
  if (!left || price?.tokens === undefined || price.tokens <= left.balance) return null;
  return `This needs ${tokensText(price.tokens)}, and you have ${tokensText(left.balance)}.`;
}

/**
 * Return `{order, busy, rests, error}`: `order(send)` calls `send(headers)`, which resolves to the accepted job, at most once at a time.
 * An error stays until the form changes.
 */
export function useOrder(onAccepted) {
  const [state, setState] = useState({ busy: false, rests: false, error: null, key: null });
  const running = useRef(false);
  const { orderKey } = draft.get();
  const order = async (send) => {
    if (running.current) return;
    running.current = true;
    setState({ busy: true, rests: false, error: null, key: orderKey });
    try {
      onAccepted(await send({ "Idempotency-Key": orderKey }));
      ordered();
      setState({ busy: false, rests: true, error: null, key: null });
      refreshBalance();
      setTimeout(() => {
        running.current = false;
        setState((now) => ({ ...now, rests: false }));
      }, REST_MS);
    } catch (error) {
      running.current = false;
      setState({ busy: false, rests: false, error, key: orderKey });
      if (error.status === 400 || error.status === 402) refreshBalance();
    }
  };
  return { ...state, error: state.key === orderKey ? state.error : null, order };
}

/** Order with a model's own settings. Resolves to the job as far as it is known. */
export async function orderModel(body, headers) {
  const who = session.get();
  const owner = who.kind === "user" ? {} : { userId: who.userId };
  const sent = { headers: { ...headers, Prefer: "respond-async" }, body: { ...body, ...owner } };
  const answer = await answerOf("POST", "/api/images/generate", sent);
  return begun(answer.body.jobId, body);
}

/** Order after a reference picture. */
export async function orderReference({ prompt, focus, reference, aspectRatio, numberOfImages }, headers) {
  const image = reference.ref.startsWith("upload:") ? { referenceImageId: reference.ref.slice("upload:".length) } : { image: reference.ref };
  const { data } = await post("/api/generate/image-reference", { prompt, referenceType: focus, aspectRatio, numberOfImages, ...image }, { headers });
  return begun(data.generationId, { model: "", inputs: { prompt }, options: { aspect_ratio: aspectRatio, num_images: numberOfImages } });
}

function begun(jobId, { model, inputs, options }) {
  const now = new Date().toISOString();
  return { jobId, model, status: "pending", progress: 0, message: "", config: { model, inputs, options }, images: [], cost: 0, createdAt: now, completedAt: null };
}
