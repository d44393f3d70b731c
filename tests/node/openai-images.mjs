// Calls the OpenAI Images API as scripts with OpenAI's own SDK do, and prints what came of each call as one JSON line: [name, outcome].
// Arguments: address, key, a word that every prompt shall end with, a PNG file.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, word, file] = process.argv.slice(2);
const openai = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const tell = async (name, call) => {
  try {
    process.stdout.write(`${JSON.stringify([name, await call()])}\n`);
  } catch (error) {
    const { status, code, param, type, requestID } = error;
    process.stdout.write(`${JSON.stringify([name, { error: error.constructor.name, status, code, param, type, requestID }])}\n`);
  }
};
const size = "256x256";
const prompt = (text) => `${text} ${word}`;

await tell("one", () => openai.images.generate({ model: "gpt-image-1", prompt: prompt("one"), size }));
await tell("two links", () => openai.images.generate({ model: "dall-e-3", prompt: prompt("two"), n: 2, response_format: "url", size }));
await tell("base64", () => openai.images.generate({ model: "flux-dev", prompt: prompt("base64"), response_format: "b64_json", size, seed: 7 }));
await tell("edit one", () => openai.images.edit({ model: "gpt-image-1", image: createReadStream(file), prompt: prompt("edit one") }));
await tell("edit two", async () => {
  const content = await readFile(file);
  const image = [await toFile(content, "a.png", { type: "image/png" }), await toFile(content, "b.png", { type: "image/png" })];
  return openai.images.edit({ model: "gpt-image-1", image, prompt: prompt("edit two"), n: 2 });
});
await tell("edit with a mask", async () => {
  const content = await readFile(file);
  const [image, mask] = [await toFile(content, "a.png"), await toFile(content, "mask.png")];
  return openai.images.edit({ model: "gpt-image-1", image, mask, prompt: prompt("masked") });
});
await tell("models", async () => (await openai.models.list()).data.map((model) => model.id));
await tell("model", () => openai.models.retrieve("flux-pro"));
await tell("stream", async () => {
  const events = [];
  const stream = await openai.images.generate({ model: "gpt-image-1", prompt: prompt("stream"), n: 2, size, stream: true, partial_images: 1 });
  for await (const event of stream) events.push(event);
  return events;
});
await tell("stream refused", async () => {
  const refused = prompt("nothing [emulator: fail=content_policy]");
  for await (const event of await openai.images.generate({ model: "gpt-image-1", prompt: refused, stream: true })) return event;
});
await tell("moderation", () => openai.images.generate({ model: "gpt-image-1", prompt: prompt("nothing [emulator: fail=content_policy]") }));
await tell("unknown model", () => openai.images.generate({ model: "no-such-model", prompt: prompt("nothing") }));
await tell("unknown parameter", () => openai.images.generate({ model: "flux-pro", prompt: prompt("nothing"), qualty: "high" }));
await tell("wrong key", () => new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 }).images.generate({ prompt: prompt("nothing") }));
await tell("slow", () =>
  openai.images.generate({ model: "gpt-image-1", prompt: prompt("slow [emulator: seconds=3]"), size }, { timeout: 2000, maxRetries: 2 }),
);
