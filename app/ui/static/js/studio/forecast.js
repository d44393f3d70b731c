/** Where a month's spending leads. Pure. Months are those of UTC, as budgets have them. */

const DAY_MS = 86_400_000;
/** Before so much of a month has gone by, its pace says nothing. */
const LEAST_DAYS = 1;

/** Return the month's first day, and the next month's, as "2026-11-01". */
export function monthOf(now) {
  const first = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
  const next = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1);
  return { first: dayOf(first), next: dayOf(next), begins: first, ends: next };
}

function dayOf(moment) {
  return new Date(moment).toISOString().slice(0, 10);
}

/**
 * Return where a budget is at the month's end if it goes on as until now: `{atEnd, reachedOn, isFull, isSoon, renewsOn}`.
 * @param {{monthly: number, spent: number, held: number}} budget
 */
export function forecastOf({ monthly, spent, held }, now) {
  const { begins, ends, next } = monthOf(now);
  const used = spent + held;
  const gone = Math.max((now.getTime() - begins) / DAY_MS, LEAST_DAYS);
  const pace = used / gone;
  const atEnd = used + (pace * (ends - now.getTime())) / DAY_MS;
  if (used >= monthly) return { atEnd, reachedOn: null, isFull: true, isSoon: false, renewsOn: next };
  const reached = pace > 0 ? now.getTime() + ((monthly - used) / pace) * DAY_MS : Infinity;
  const isReached = reached < ends;
  return { atEnd, reachedOn: isReached ? dayOf(reached) : null, isFull: false, isSoon: isReached && reached - now.getTime() < 7 * DAY_MS, renewsOn: next };
}
