/** Looks at what is at work, until it is done or nobody looks any more. */

/**
 * Call `read` at once, and again each time it has asked for that; a failure ends it and goes to `failed`.
 * @param {(signal: AbortSignal) => Promise<boolean>} read tells whether to look again
 * @param {(error: Error) => void} failed
 * @param {number} waitMs between two looks
 * @returns {() => void} what ends it
 */
export function lookAgain(read, failed, waitMs) {
  const stopped = new AbortController();
  let timer = 0;
  const look = async () => {
    try {
      if (await read(stopped.signal)) timer = setTimeout(look, waitMs);
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
    }
  };
  look();
  return () => {
    stopped.abort();
    clearTimeout(timer);
  };
}
