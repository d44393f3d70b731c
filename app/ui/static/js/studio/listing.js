/**
 * A long list, read page by page as it is looked at. What is far from what is looked at is let go, and read again when it comes near:
 * however far somebody scrolls, no more than `KEPT` items are in memory.
 */

export const KEPT = 2000;
const AT_ONCE = 100;
/** So many empty pages are read in one go: where no index serves a filter, the service looks at 1,000 orders for each. */
const EMPTY_AT_ONCE = 5;

export class Listing {
  /**
   * @param {(cursor: string | null, limit: number, signal: AbortSignal) => Promise<{items: object[], next: string | null}>} read
   * @param {() => void} changed called with every change
   */
  constructor(read, changed) {
    this.read = read;
    this.changed = changed;
    /** @type {{cursor: string | null, count: number, items: object[] | null}[]} */
    this.pages = [];
    this.next = null;
    this.hasMore = true;
    this.busy = false;
    this.error = null;
    this.stopped = new AbortController();
  }

  get length() {
    return this.pages.reduce((sum, page) => sum + page.count, 0);
  }

  /** Tell whether it is known that there is nothing at all. */
  get isEmpty() {
    return !this.hasMore && this.length === 0;
  }

  /** Return an item; undefined where it was let go, or is not read yet. */
  at(index) {
    const [page, start] = this.#pageAt(index);
    return page?.items?.[index - start];
  }

  /** Return where an item is that is in memory, -1 for none. */
  indexOf(wanted) {
    let start = 0;
    for (const page of this.pages) {
      const found = page.items ? page.items.findIndex(wanted) : -1;
      if (found >= 0) return start + found;
      start += page.count;
    }
    return -1;
  }

  /** Read the next page. Does nothing while one is on its way, or at the end. */
  async more() {
    if (this.busy || !this.hasMore) return;
    await this.#guarded(async () => {
      for (let tries = 0, found = 0; this.hasMore && found === 0 && tries < EMPTY_AT_ONCE; tries += 1) {
        const page = await this.read(this.next, AT_ONCE, this.stopped.signal);
        if (page.items.length) this.pages.push({ cursor: this.next, count: page.items.length, items: page.items });
        this.next = page.next;
        this.hasMore = page.next !== null;
        found = page.items.length;
      }
    });
  }

  /** Have what lies between two indexes in memory, and let go what is far from it. */
  async near(first, last) {
    this.#letGo(first, last);
    const missing = this.#pagesBetween(first, last).find((page) => page.items === null);
    if (!missing || this.busy) return;
    await this.#guarded(async () => {
      const { items } = await this.read(missing.cursor, Math.max(missing.count, 1), this.stopped.signal);
      missing.items = items.slice(0, missing.count);
      missing.count = missing.items.length;
    });
  }

  /** Change items in memory, as after a note. */
  update(wanted, changes) {
    for (const page of this.pages) page.items = page.items && page.items.map((item) => (wanted(item) ? { ...item, ...changes } : item));
    this.changed();
  }

  /** Take items out, as after they were deleted. */
  remove(wanted) {
    for (const page of this.pages) {
      if (!page.items) continue;
      page.items = page.items.filter((item) => !wanted(item));
      page.count = page.items.length;
    }
    this.changed();
  }

  /** Let everything on its way end without a word. */
  stop() {
    this.stopped.abort();
    this.changed = () => {};
  }

  async #guarded(work) {
    this.busy = true;
    this.error = null;
    this.changed();
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") this.error = error;
    }
    this.busy = false;
    this.changed();
  }

  #pageAt(index) {
    let start = 0;
    for (const page of this.pages) {
      if (index < start + page.count) return index >= start ? [page, start] : [undefined, 0];
      start += page.count;
    }
    return [undefined, 0];
  }

  #pagesBetween(first, last) {
    let start = 0;
    return this.pages.filter((page) => {
      const begins = start;
      start += page.count;
      return begins <= last && start > first;
    });
  }

  #letGo(first, last) {
    let start = 0;
    const held = [];
    for (const page of this.pages) {
      if (page.items) held.push({ page, away: Math.max(start - last, first - start - page.count, 0) });
      start += page.count;
    }
    held.sort((one, other) => one.away - other.away);
    let kept = 0;
    for (const { page, away } of held) {
      kept += page.count;
      if (kept > KEPT && away > 0) page.items = null;
    }
  }
}
