/** How far an order is, in a word. */

import { html } from "../../vendor/htm-preact.js";

const WORDS = {
  pending: ["Waiting", ""],
  processing: ["In progress", "accent"],
  completed: ["Completed", "good"],
  failed: ["Failed", "wrong"],
  canceled: ["Canceled", "warn"],
};

export function isOver(job) {
  return !["pending", "processing"].includes(job.status);
}

/** Return the words of an order. */
export function promptOf(job) {
  const text = job.config.inputs.prompt;
  return typeof text === "string" && text.trim() ? text : "Without a prompt";
}

/** @param {{job: {status: string, progress?: number}}} props also for a batch */
export function Status({ job }) {
  const [word, kind] = WORDS[job.status] || [job.status, ""];
  return html`<span class=${`tag ${kind}`}>${word}${job.status === "processing" && job.progress ? html` <span class="number">${job.progress} %</span>` : ""}</span>`;
}
