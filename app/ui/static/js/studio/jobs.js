/** The jobs of the result strip: what was ordered here, and what is still on its way from before; watched until each has ended. */

import { get, newKey, post } from "../api.js";
import { listen } from "../live.js";
import { tell, toast } from "../parts/toast.js";
import { onLeave, refreshBalance, session } from "../session.js";
import { store } from "../store.js";

const LATEST = 12;
const LOOK_EVERY_MS = 2000;
/** An event may get lost: so long after the last one a job is looked at all the same. */
const QUIET_MS = 15_000;
/** How many jobs are looked at in a step where there is no connection to hear of them. */
const AT_ONCE = 6;
const ENDED = new Set(["completed", "failed", "canceled"]);

/** Newest first; `heardAt` and `seq` are of the last that was heard of a job. */
export const jobs = store(/** @type {object[]} */ ([]));
/** Told of what a screen reader should say. */
export const spoken = store("");
let isConnected = false;
let hangUp = null;
let timer = null;
let mine = null;

export function isEnded(job) {
  return ENDED.has(job.status);
}

export function isOnItsWay(job) {
  return !isEnded(job);
}

/** Read the newest jobs and all that have not ended, and watch those. */
export async function load() {
  const owner = who();
  if (mine !== owner) reset();
  mine = owner;
  const query = userQuery();
  const [latest, pending, processing] = await Promise.all([
    get("/api/jobs", { ...query, limit: LATEST }),
    get("/api/jobs", { ...query, status: "pending", limit: 100 }),
    get("/api/jobs", { ...query, status: "processing", limit: 100 }),
  ]);
  if (who() !== owner) return;
  for (const job of [...processing.jobs, ...pending.jobs, ...latest.jobs]) put(job);
  watch();
}

/** Show a job that was ordered just now. */
function add(job) {
  put(job);
  watch();
}

/** Take up what the form has ordered; where it stands below the form, as on a telephone, it comes into view. */
export function accepted(job) {
  add(job);
  requestAnimationFrame(() => {
    const strip = document.querySelector(".strip");
    if (strip && strip.getBoundingClientRect().top > innerHeight * 0.7) strip.scrollIntoView({ behavior: "smooth", block: "start" });
  });
}

export function dismiss(jobId) {
  jobs.set((now) => now.filter((job) => job.jobId !== jobId));
}

export async function cancel(jobId) {
  try {
    const job = await post(`/api/jobs/${jobId}/cancel`);
    put(job);
    if (isOnItsWay(job)) toast("The model is already at work. It is asked to stop; what it finishes all the same is delivered and charged.");
  } catch (error) {
    if (error.code === "already_finished") await refresh(jobId);
    else tell(error);
  }
  refreshBalance();
}

const retries = new Map();

/** Order a job again. Pressed twice it is still one order. */
export async function retry(job) {
  if (!retries.has(job.jobId)) retries.set(job.jobId, newKey());
  try {
    const next = await post(`/api/jobs/${job.jobId}/retry`, {}, { headers: { "Idempotency-Key": retries.get(job.jobId) } });
    retries.delete(job.jobId);
    dismiss(job.jobId);
    add(next);
  } catch (error) {
    tell(error);
  }
  refreshBalance();
}

/** Return prompts of earlier jobs, newest first, each once. */
export async function prompts() {
  const found = await get("/api/jobs", { ...userQuery(), limit: 100 }, { keep: true }).catch(() => ({ jobs: [] }));
  return [...new Set(found.jobs.map((job) => job.config.inputs.prompt).filter(Boolean))];
}

function who() {
  const now = session.get();
  return now ? `${now.kind}:${now.userId}` : null;
}

/** An administrator and a key may see more than what is their user's own, and ask for that. */
function userQuery() {
  return { userId: session.get()?.userId };
}

function put(job) {
  jobs.set((now) => {
    const old = now.find((each) => each.jobId === job.jobId);
    if (old && isEnded(old) && !isEnded(job)) return now;
    const next = { ...old, ...job, progress: Math.max(job.progress || 0, old?.progress || 0), heardAt: Date.now() };
    return [next, ...now.filter((each) => each.jobId !== job.jobId)].sort((one, other) => (one.jobId < other.jobId ? 1 : -1));
  });
}

function heard(name, data) {
  const job = jobs.get().find((each) => each.jobId === data.jobId);
  if (!job || isEnded(job) || data.seq <= (job.seq || 0)) return;
  if (name === "generation_progress") {
    const { progress, message, status, queuePosition = null, cancelRequested, seq } = data;
    put({ ...job, progress, message, status, queuePosition, cancelRequested: cancelRequested || job.cancelRequested, seq });
  } else {
    put({ ...job, seq: data.seq });
    refresh(data.jobId);
  }
}

async function refresh(jobId) {
  const before = jobs.get().find((job) => job.jobId === jobId);
  try {
    const job = await get(`/api/jobs/${jobId}`, undefined, { keep: true });
    put(job);
    if (before && isOnItsWay(before) && isEnded(job)) ended(job);
  } catch (error) {
    if (error.status === 404 || error.status === 410) dismiss(jobId);
  }
}

function ended(job) {
  refreshBalance();
  const count = job.images.length;
  spoken.set(job.status === "completed" ? `${count === 1 ? "1 picture is" : `${count} pictures are`} ready` : `An order has ${job.status === "failed" ? "failed" : "been canceled"}: ${job.message}`);
}

/** Keep one connection and a timer while anything is on its way. */
function watch() {
  const waiting = jobs.get().filter(isOnItsWay);
  if (waiting.length === 0) return rest();
  hangUp ??= listen({ auth, onEvent: heard, onState: connected });
  timer ??= setInterval(look, LOOK_EVERY_MS);
  return undefined;
}

function look() {
  const waiting = jobs.get().filter(isOnItsWay);
  if (waiting.length === 0) return rest();
  const long = isConnected ? QUIET_MS : LOOK_EVERY_MS - 100;
  const quiet = waiting.filter((job) => Date.now() - job.heardAt >= long).sort((one, other) => one.heardAt - other.heardAt);
  for (const job of quiet.slice(0, AT_ONCE)) {
    job.heardAt = Date.now();
    refresh(job.jobId);
  }
  return undefined;
}

function rest() {
  hangUp?.();
  hangUp = null;
  isConnected = false;
  clearInterval(timer);
  timer = null;
}

function connected(now) {
  isConnected = now;
}

function auth() {
  const now = session.get();
  const since = Object.fromEntries(jobs.get().filter(isOnItsWay).slice(0, 100).map((job) => [job.jobId, job.seq || 0]));
  return { ...(now?.token ? { token: now.token } : {}), ...(now?.key ? { apiKey: now.key } : {}), ...(now?.kind === "user" ? {} : { userId: now?.userId }), since };
}

function reset() {
  rest();
  jobs.set([]);
}

onLeave(() => {
  reset();
  mine = null;
});
