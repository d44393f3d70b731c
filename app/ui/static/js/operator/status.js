/** How a job is, in words. */

import { html } from "../../vendor/htm-preact.js";

const WORDS = {
  pending: ["Waiting", ""],
  processing: ["In progress", "accent"],
  completed: ["Completed", "good"],
  failed: ["Failed", "wrong"],
  canceled: ["Canceled", "warn"],
};
const TROUBLES = {
  unknown_outcome: "Sent to fal, no answer: whether it was bought is not known",
  uncollected: "Finished at fal, but its pictures cannot be fetched or stored",
  overdue: "Older than its deadline",
  cancel_unanswered: "fal was asked to stop long ago",
  unattended: "Nobody looks after it: no watcher is at work, or it breaks each time",
  unsettled: "Ended, but its money is not settled",
};

export function isOver(job) {
  return !["pending", "processing"].includes(job.status);
}

export function promptOf(job) {
  const text = job.config.inputs.prompt;
  return typeof text === "string" && text.trim() ? text : "Without a prompt";
}

export function Status({ job }) {
  const [word, kind] = WORDS[job.status] || [job.status, ""];
  const wished = job.cancelRequested && !isOver(job) ? ", to be canceled" : "";
  return html`<span class=${`tag ${kind}`}>${word}${wished}</span>`;
}

/** Why somebody ought to look at a job; nothing where it goes its way. */
export function Trouble({ trouble, told = false }) {
  if (!trouble) return null;
  if (told) return html`<p class="notice warn"><span><strong>Needs attention.</strong> ${TROUBLES[trouble] || trouble}.</span></p>`;
  return html`<span class="tag warn" title=${TROUBLES[trouble]}>${trouble.replaceAll("_", " ")}</span>`;
}
