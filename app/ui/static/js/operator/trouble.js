/** Why somebody ought to look at a job, in words. */

import { html } from "../../vendor/htm-preact.js";

const TROUBLES = {
  unknown_outcome: "Sent to fal, no answer: whether it was bought is not known",
  uncollected: "Finished at fal, but its pictures cannot be fetched or stored",
  overdue: "Older than its deadline",
  cancel_unanswered: "fal was asked to stop long ago",
  unattended: "Nobody looks after it: no watcher is at work, or it breaks each time",
  unsettled: "Ended, but its money is not settled",
};

/** Nothing where a job goes its way. @param {{trouble: string | null, told?: boolean}} props `told`: in a sentence */
export function Trouble({ trouble, told = false }) {
  if (!trouble) return null;
  if (told) return html`<p class="notice warn"><span><strong>Needs attention.</strong> ${TROUBLES[trouble] || trouble}.</span></p>`;
  return html`<span class="tag warn" title=${TROUBLES[trouble]}>${trouble.replaceAll("_", " ")}</span>`;
}
