/** Something done to the service: once at a time, its outcome told. */

import { useState } from "../../vendor/htm-preact.js";
import { tell, toast } from "../parts/toast.js";

/**
 * @returns {{busy: boolean, act: (work: () => Promise<any>, text?: string | ((done: any) => string)) => Promise<boolean>}} `act` resolves to
 *   whether it went well; `text` is what is then told
 */
export function useDoing() {
  const [busy, setBusy] = useState(false);
  const act = async (work, text) => {
    if (busy) return false;
    setBusy(true);
    try {
      const done = await work();
      if (text) toast(typeof text === "function" ? text(done) : text);
      return true;
    } catch (error) {
      tell(error);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, act };
}

/** Tell an error in one sentence, fields and all. */
export function sentenceOf(error) {
  return error.errors?.length ? error.errors.map((each) => `${each.pointer.replace(/^\//, "")}: ${each.detail}`).join(" ") : error.message;
}
