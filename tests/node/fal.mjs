// What a program does with fal's JavaScript client. Arguments: the gateway's address, a key, the way there (proxyUrl or
// requestMiddleware), a word that all prompts have, a PNG file. Prints JSON: what came of each step.
import { readFileSync } from "node:fs";
import { ApiError, ValidationError, createFalClient } from "@fal-ai/client";

const [gateway, credentials, way, prompt, file] = process.argv.slice(2);
const FLUX = "fal-ai/flux-pro/v1.1";
const EDIT = "fal-ai/flux/dev/image-to-image";
const SLOW = "[emulator: seconds=30, queue=30]";
const PLACES = { "fal.run": "/fal", "queue.fal.run": "/fal/queue", "rest.fal.ai": "/fal/rest" };

const ways = {
  proxyUrl: { proxyUrl: { url: `${gateway}/api/fal/proxy`, when: "always" } },
  requestMiddleware: {
    requestMiddleware: async (request) => {
      const { hostname, pathname, search } = new URL(request.url);
      return { ...request, url: gateway + PLACES[hostname] + pathname + search };
    },
  },
};
const fal = createFalClient({ credentials, ...ways[way] });
const asked = (about, more = {}) => ({ prompt: `${prompt} ${about}`, image_size: "square", ...more });
const picture = readFileSync(file);
const blob = () => new Blob([picture], { type: "image/png" });

const steps = {
  run: () => fal.run(FLUX, { input: asked("run") }),
  subscribe: async () => {
    const seen = [];
    const result = await fal.subscribe(EDIT, {
      input: { prompt: `${prompt} subscribe`, image_url: blob() },
      logs: true,
      onQueueUpdate: (update) => seen.push(update.status),
    });
    return { ...result, seen };
  },
  streamed: async () => {
    const { request_id: requestId } = await fal.queue.submit(FLUX, { input: asked("streamed") });
    const status = await fal.queue.subscribeToStatus(FLUX, { requestId, mode: "streaming", logs: true });
    return { status: status.status, requestId, result: await fal.queue.result(FLUX, { requestId }) };
  },
  upload: async () => {
    const url = await fal.storage.upload(new File([picture], "portrait.png", { type: "image/png" }));
    return { url, result: await fal.run(EDIT, { input: { prompt: `${prompt} upload`, image_url: url } }) };
  },
  stream: async () => {
    const stream = await fal.stream(FLUX, { input: asked("stream") });
    const events = [];
    for await (const event of stream) events.push(event);
    return { events, done: await stream.done() };
  },
  cancel: async () => {
    const { request_id: requestId } = await fal.queue.submit(FLUX, { input: asked(`cancel ${SLOW}`) });
    await fal.queue.cancel(FLUX, { requestId });
    await fal.queue.subscribeToStatus(FLUX, { requestId, pollInterval: 100 });
    return fal.queue.result(FLUX, { requestId });
  },
  invalid: () => fal.subscribe(FLUX, { input: { image_size: "square" } }),
  refused: () => fal.subscribe(FLUX, { input: asked("[emulator: fail=content_policy]") }),
  unknown: () => fal.subscribe("fal-ai/no-such-app", { input: asked("nothing") }),
};

const outcome = async (step) => {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof ApiError)) return { raised: error.name, text: `${error.stack}` };
    const { name, status, body, requestId } = error;
    return { raised: name, status, body, requestId, ...(error instanceof ValidationError && { fieldErrors: error.fieldErrors }) };
  }
};
const outcomes = await Promise.all(Object.values(steps).map(outcome));
console.log(JSON.stringify(Object.fromEntries(Object.keys(steps).map((name, index) => [name, outcomes[index]]))));
