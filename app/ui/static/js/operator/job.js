/** One job: all that is known of it, and what can be done to it. */

import { html } from "../../vendor/htm-preact.js";
import { Failure } from "../parts/empty.js";
import { Picture } from "../parts/picture.js";
import { Time } from "../parts/time.js";
import { useAnswer } from "./asking.js";
import { JobActions } from "./job_actions.js";
import { Deliveries, FalRequests, JobMoney, Retries, Timeline } from "./job_parts.js";
import { Who } from "./names.js";
import { Facts, Heading, Panel, Skeleton } from "./pieces.js";
import { isOver, promptOf, Status } from "../studio/status.js";
import { Trouble } from "./trouble.js";

const EVERY_MS = 3000;

/** @param {{jobId: string}} props */
export function JobPage({ jobId }) {
  const everyMs = (file) => (isOver(file.job) ? 0 : EVERY_MS);
  const { data: file, error, reload } = useAnswer(`/api/admin/jobs/${encodeURIComponent(jobId)}`, { everyMs });
  if (!file) return html`<${Heading} title="Job"/>${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} rows=${8} />`}`;
  return html`<p class="small"><a href="/operator/jobs">All jobs</a></p>
    <${Heading} title=${promptOf(file.job)} long><${Status} job=${file.job} /></${Heading}>
    <div class="stack wide">
      ${error && html`<p class="notice wrong" role="alert">${error.message}</p>`}
      <${Trouble} trouble=${file.job.trouble} told />
      ${file.job.error && html`<p class="notice wrong"><span><strong><code>${file.job.error.code}</code></strong> ${file.job.error.message}</span></p>`}
      <${JobActions} file=${file} onChanged=${reload} />
      <div class="panels">
        <${Panel} title="The order"><${Order} file=${file} /></${Panel}>
        <${Panel} title="Money, from quote to invoice"><${JobMoney} file=${file} /></${Panel}>
      </div>
      ${file.job.images.length > 0 && html`<ul class="strip" aria-label="Pictures">${file.job.images.map((image) => html`<li key=${image.imageId || image.url}><a href=${image.url} target="_blank" rel="noopener"><${Picture} image=${image} prompt=${promptOf(file.job)} /></a></li>`)}</ul>`}
      <${Panel} title="Requests at fal"><${FalRequests} requests=${file.requests} /></${Panel}>
      <div class="panels">
        <${Panel} title="Timeline"><${Timeline} moments=${file.timeline} /></${Panel}>
        <div class="stack wide">
          <${Panel} title="Webhooks"><${Deliveries} deliveries=${file.deliveries} /></${Panel}>
          <${Panel} title="Ordered again as"><${Retries} file=${file} /></${Panel}>
          <${Panel} title="What fal is sent"><pre class="raw" tabindex="0" role="region" aria-label="What fal is sent">${JSON.stringify(file.arguments, null, 2)}</pre></${Panel}>
        </div>
      </div>
    </div>`;
}

function Order({ file }) {
  const { job } = file;
  return html`<${Facts} facts=${[
    ["Job", html`<code>${job.jobId}</code>`],
    ["User", html`<${Who} kind="user" id=${job.userId} />`],
    ["API key", job.keyId && html`<${Who} kind="key" id=${job.keyId} />`],
    ["Model", job.model],
    ["Endpoint", html`<code>${file.endpoint}</code>`],
    ["Project", job.projectId],
    ["Batch", job.batchId && html`<a href=${`/operator/jobs?q=${encodeURIComponent(`batch:${job.batchId}`)}`}><code>${job.batchId}</code></a>`],
    ["Retry of", job.retryOf && html`<a href=${`/operator/jobs/${job.retryOf}`}><code>${job.retryOf}</code></a>`],
    ["Ordered", html`<${Time} at=${job.createdAt} style="moment" />`],
    ["Ended", job.completedAt && html`<${Time} at=${job.completedAt} style="moment" />`],
    ["Deadline", !job.completedAt && html`<${Time} at=${file.deadlineAt} style="moment" />`],
    ["Options", Object.keys(job.config.options).length > 0 && html`<code>${JSON.stringify(job.config.options)}</code>`],
    ["Metadata", Object.keys(job.metadata).length > 0 && html`<code>${JSON.stringify(job.metadata)}</code>`],
  ]} />`;
}
