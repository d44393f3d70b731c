/** O1: how the service is doing this minute, and what needs somebody. */

import { html, useState } from "../../vendor/htm-preact.js";
import { Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { counted, countText, usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { Bars } from "./bars.js";
import { useAnswer } from "./asking.js";
import { Clock, Heading, Panel, Skeleton, spanText, Tile } from "./pieces.js";

const EVERY_MS = 5000;

export function Now() {
  const [paused, setPaused] = useState(false);
  const { data: now, error, reload } = useAnswer("/api/admin/status", { everyMs: paused ? 0 : EVERY_MS });
  const control = html`<span class="row">
    ${now && html`<span class="hint">as of <${Clock} at=${now.at} /></span>`}
    <button aria-pressed=${String(paused)} onClick=${() => setPaused(!paused)}><${Icon} name=${paused ? "play" : "pause"} />${paused ? "Go on" : "Pause"}</button>
  </span>`;
  if (!now) return html`<${Heading} title="Now">${control}</${Heading}>${error ? html`<${Failure} error=${error} onRetry=${reload} />` : html`<${Skeleton} tiles=${8} />`}`;
  return html`<${Heading} title="Now">${control}</${Heading}>
    <div class="stack wide">
      ${error && html`<p class="notice wrong" role="alert"><${Icon} name="alert" /><span>${error.message} What is shown is of <${Clock} at=${now.at} />.</span></p>`}
      <${Warnings} warnings=${now.warnings} />
      <${Figures} now=${now} />
      <div class="panels">
        <${Panel} title="Failed within the last hour"><${Failed} failures=${now.failuresLastHour} /></${Panel}>
        <${Panel} title="Queues"><${Queues} queues=${now.queues} /></${Panel}>
      </div>
      <${Panel} title="How long models take"><${Paces} models=${now.models} /></${Panel}>
    </div>`;
}

function Warnings({ warnings }) {
  if (!warnings.length) return html`<p class="notice good"><${Icon} name="check" /><span>Nothing needs you.</span></p>`;
  return html`<section class="stack tight" aria-label=${`${counted(warnings.length, "thing")} to look at`}>
    ${warnings.map((each) => html`<div class="notice wrong" key=${each.what}><${Icon} name="alert" />
      <div><strong>${each.what}</strong><p>${each.advice}</p><p class="hint">More in <code>${each.link}</code></p></div></div>`)}
  </section>`;
}

function Figures({ now }) {
  const { inFlight, fal, webhooks, spend, failuresLastHour, watcher } = now;
  const known = (value) => (value === null ? "unknown" : countText(value));
  const failed = failuresLastHour && Object.values(failuresLastHour).reduce((sum, count) => sum + count, 0);
  return html`<ul class="tiles" aria-label="Figures">
    <${Tile} label="Jobs in flight" value=${inFlight ? countText(inFlight.pending + inFlight.processing) : "unknown"}
      hint=${inFlight && `${countText(inFlight.processing)} in progress, ${countText(inFlight.pending)} waiting`} href="/operator/jobs?q=status:processing" />
    <${Tile} label="Painted at fal" value=${known(fal.running)} hint=${fal.limit === null ? "FAL_CONCURRENCY is not set" : `of ${countText(fal.limit)} at a time`} />
    <${Tile} label="In fal's queue" value=${known(fal.queued)} hint=${fal.queued && fal.limit !== null && fal.running >= fal.limit ? "your account is full" : "requests"} />
    <${Tile} label="Failed, last hour" value=${known(failed)} hint="jobs" href="/operator/failures" tone=${failed ? "wrong" : ""} />
    <${Tile} label="Charged today" value=${spend ? usdText(spend.today.charged) : "unknown"}
      hint=${spend && `${usdText(spend.sameWeekday.charged)} on all of this day a week ago`} href="/operator/spend" />
    <${Tile} label="Charged this month" value=${spend ? usdText(spend.month.charged) : "unknown"} hint=${spend && `${usdText(spend.month.paid)} to fal`} href="/operator/spend" />
    <${Tile} label="Webhooks waiting" value=${countText(webhooks.waiting)} hint=${webhooks.waiting ? `the oldest for ${spanText(webhooks.oldestSeconds)}` : "none is late"}
      href="/operator/webhooks" />
    <${Tile} label="Watcher" value=${watcher ? "at work" : "none"} hint=${watcher || "nobody asks fal how far orders are"} tone=${watcher ? "" : "wrong"} />
  </ul>`;
}

function Failed({ failures }) {
  if (!failures) return html`<p class="hint">Unknown while the database does not answer.</p>`;
  const codes = Object.entries(failures).sort(([, one], [, other]) => other - one);
  if (!codes.length) return html`<p class="hint">No job has failed.</p>`;
  return html`<${Bars} rows=${codes.map(([code, count]) => ({ label: code, value: count, text: countText(count), href: `/operator/jobs?q=${encodeURIComponent(`status:failed code:${code}`)}` }))} />`;
}

function Queues({ queues }) {
  if (!queues.length) return html`<p class="hint">No queue: Redis does not answer.</p>`;
  const columns = [
    { key: "name", title: "Queue" },
    { key: "depth", title: "Tasks that wait", number: true, cell: (queue) => countText(queue.depth) },
    { key: "oldest", title: "The oldest for", number: true, cell: (queue) => (queue.depth ? spanText(queue.oldestSeconds) : "–") },
  ];
  return html`<${Table} caption="Queues" columns=${columns} rows=${queues} rowKey=${(queue) => queue.name} />`;
}

function Paces({ models }) {
  if (!models?.length) return html`<p class="hint">${models ? "No generation yet." : "Unknown while the database does not answer."}</p>`;
  const columns = [
    { key: "model", title: "Model" },
    { key: "p50", title: "Half within (p50)", number: true, cell: (pace) => spanText(pace.p50Seconds) },
    { key: "p95", title: "95 of 100 within (p95)", number: true, cell: (pace) => spanText(pace.p95Seconds) },
    { key: "samples", title: "Of so many", number: true, cell: (pace) => countText(pace.samples) },
  ];
  return html`<${Table} caption="Seconds by model" columns=${columns} rows=${models} rowKey=${(pace) => pace.model} />`;
}
