/**
 * An order as code, to be run as it stands: curl, Python, JavaScript, the command line, OpenAI's SDK. Pure, tests run what it makes.
 *
 * Pictures that exist only in the form are files of these names, beside the script.
 */

const OPENAI_IMAGES = 10;
/** What OpenAI's SDK has a parameter of its own for. */
const OPENAI_OWN = new Set(["prompt", "num_images"]);

/** A picture that a script reads from a file. */
class File {
  constructor(name, type) {
    this.name = name;
    this.type = type;
  }
}

/**
 * Return the code in each language, `{title, text}` by name; `text` null where it cannot be said in that language, with `why`.
 * @param {{server: string, body: {model: string, inputs: object, options: object}, caller: {kind: string, userId: string}, orderKey: string}} order
 */
export function snippetsOf({ server, body, caller, orderKey }) {
  const owner = caller.kind === "user" ? {} : { userId: caller.userId };
  const order = { ...withFiles({ ...body, ...(Object.keys(body.options).length ? {} : { options: undefined }) }), ...owner };
  const told = { server, order, caller, orderKey, headers: headersOf(caller) };
  return {
    curl: { title: "curl", text: curl(told) },
    python: { title: "Python", text: python(told) },
    javascript: { title: "JavaScript", text: javascript(told) },
    imagegen: { title: "imagegen", text: imagegen(told) },
    openai: { title: "OpenAI SDK", ...openai(told) },
  };
}

/** How a credential is sent; its value is in the environment, as it does not belong into code. */
function headersOf(caller) {
  if (caller.kind === "user") return { name: "Authorization", variable: "IMAGEGEN_TOKEN", before: "Bearer " };
  return caller.kind === "key" ? { name: "X-API-Key", variable: "IMAGEGEN_KEY", before: "" } : null;
}

function withFiles(value, count = { files: 0 }) {
  if (typeof value === "string" && value.startsWith("data:image/")) {
    count.files += 1;
    const type = value.slice("data:".length, value.indexOf(";"));
    return new File(`picture-${count.files}.${type.slice("image/".length).replace("jpeg", "jpg")}`, type);
  }
  if (Array.isArray(value)) return value.map((each) => withFiles(each, count));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined).map(([name, each]) => [name, withFiles(each, count)]));
}

function filesIn(value) {
  if (value instanceof File) return [value];
  return value && typeof value === "object" ? Object.values(value).flatMap(filesIn) : [];
}

// -- curl -------------------------------------------------------------------------------------------------------------------------------

function curl({ server, order, orderKey, headers }) {
  const credential = headers ? `  -H "${headers.name}: ${headers.before}$${headers.variable}" \\\n` : "";
  const start = `curl -X POST ${server}/api/images/generate \\\n${credential}  -H "Content-Type: application/json" \\\n  -H "Idempotency-Key: ${orderKey}" \\\n  -d @- `;
  if (!filesIn(order).length) return `${start}<<'JSON'\n${written(order, JSON_WORDS)}\nJSON`;
  // The shell puts the files in, so what else it would change is guarded.
  const guarded = { ...JSON_WORDS, text: (text) => JSON.stringify(text).replace(/[\\$`]/g, "\\$&"), file: (file) => `"data:${file.type};base64,$(base64 < ${file.name} | tr -d '\\n')"` };
  return `${start}<<JSON\n${written(order, guarded)}\nJSON`;
}

// -- Python and JavaScript --------------------------------------------------------------------------------------------------------------

function python({ server, order, orderKey, headers }) {
  const hasFiles = filesIn(order).length > 0;
  const imports = [hasFiles && "base64", "json", headers && "os", "urllib.request"].filter(Boolean).map((name) => `import ${name}`).join("\n");
  const credential = headers ? `    ${JSON.stringify(headers.name)}: ${headers.before ? `"${headers.before}" + ` : ""}os.environ["${headers.variable}"],\n` : "";
  return `${imports}

order = ${written(order, PYTHON_WORDS)}
headers = {
    "Content-Type": "application/json",
${credential}    "Idempotency-Key": "${orderKey}",
}
request = urllib.request.Request("${server}/api/images/generate", json.dumps(order).encode(), headers)
with urllib.request.urlopen(request) as answer:
    for image in json.load(answer)["images"]:
        print(image["url"])`;
}

function javascript({ server, order, orderKey, headers }) {
  const imports = filesIn(order).length ? 'import { readFileSync } from "node:fs";\n\n' : "";
  const credential = headers ? `    ${JSON.stringify(headers.name)}: ${headers.before ? `"${headers.before}" + ` : ""}process.env.${headers.variable},\n` : "";
  return `${imports}const order = ${written(order, SCRIPT_WORDS)};
const answer = await fetch("${server}/api/images/generate", {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
${credential}    "Idempotency-Key": "${orderKey}",
  },
  body: JSON.stringify(order),
});
const result = await answer.json();
if (!answer.ok) throw new Error(result.message);
for (const image of result.images) console.log(image.url);`;
}

// -- imagegen ---------------------------------------------------------------------------------------------------------------------------

function imagegen({ server, order, caller }) {
  const { prompt, ...inputs } = order.inputs;
  const isPlain = typeof prompt === "string" && !prompt.startsWith("-");
  const words = [`imagegen generate ${shell(order.model)}${isPlain ? ` ${shell(prompt)}` : ""}`, `--server ${shell(server)}`];
  if (caller.kind !== "user") words.push(`--user ${shell(caller.userId)}`);
  for (const [name, value] of Object.entries(isPlain ? inputs : order.inputs)) words.push(...argument("--input", name, value));
  for (const [name, value] of Object.entries(order.options || {})) words.push(...(name === "num_images" ? [`-n ${value}`] : argument("--option", name, value)));
  return words.join(" \\\n  ");
}

function argument(flag, name, value) {
  const files = filesIn(value);
  if (files.length || isPicture(value)) return [value].flat().map((each) => `--image ${shell(each instanceof File ? each.name : each)}`);
  return [`${flag} ${shell(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`];
}

function isPicture(value) {
  return [value].flat().some((each) => typeof each === "string" && each.startsWith("upload:"));
}

function shell(text) {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${String(text).replaceAll("'", "'\\''")}'`;
}

// -- OpenAI's SDK -----------------------------------------------------------------------------------------------------------------------

function openai({ server, order, caller, orderKey }) {
  const settings = { ...order.inputs, ...(order.options || {}) };
  const count = settings.num_images ?? 1;
  if (typeof settings.prompt !== "string") return { text: null, why: "OpenAI's interface needs a prompt, which this model does not take." };
  if (count > OPENAI_IMAGES) return { text: null, why: `OpenAI's interface makes ${OPENAI_IMAGES} images at a time at most.` };
  const pictures = Object.entries(settings).filter(([, value]) => filesIn(value).length || isPicture(value));
  const names = pictures.flatMap(([, value]) => [value].flat()).map((each, index) => (each instanceof File ? each.name : `picture-${index + 1}.png`));
  const extra = Object.fromEntries(Object.entries(settings).filter(([name]) => !OPENAI_OWN.has(name) && !pictures.some(([picture]) => picture === name)));
  const lines = [
    `    model=${JSON.stringify(order.model)},`,
    ...(names.length ? [`    image=[${names.map((name) => `open(${JSON.stringify(name)}, "rb")`).join(", ")}],`] : []),
    `    prompt=${JSON.stringify(settings.prompt)},`,
    ...(count > 1 ? [`    n=${count},`] : []),
    '    response_format="url",',
    ...(Object.keys(extra).length ? [`    extra_body=${written(extra, PYTHON_WORDS).replaceAll("\n", "\n    ")},`] : []),
    ...(caller.kind === "user" ? [] : [`    user=${JSON.stringify(caller.userId)},`]),
    `    extra_headers={"Idempotency-Key": "${orderKey}"},`,
  ];
  const variable = caller.kind === "user" ? "IMAGEGEN_TOKEN" : "IMAGEGEN_KEY";
  return {
    text: `import os

from openai import OpenAI

client = OpenAI(base_url="${server}/v1", api_key=os.environ["${variable}"])
result = client.images.${names.length ? "edit" : "generate"}(
${lines.join("\n")}
)
for image in result.data:
    print(image.url)`,
  };
}

// -- values as literals -----------------------------------------------------------------------------------------------------------------

const JSON_WORDS = { text: (text) => JSON.stringify(text), word: (value) => JSON.stringify(value), file: () => '""', indent: "  " };
const PYTHON_WORDS = {
  text: (text) => JSON.stringify(text),
  word: (value) => ({ true: "True", false: "False", null: "None" })[String(value)] || JSON.stringify(value),
  file: (file) => `"data:${file.type};base64," + base64.b64encode(open(${JSON.stringify(file.name)}, "rb").read()).decode()`,
  indent: "    ",
};
const SCRIPT_WORDS = {
  ...JSON_WORDS,
  file: (file) => `"data:${file.type};base64," + readFileSync(${JSON.stringify(file.name)}).toString("base64")`,
};

function written(value, words, depth = 0) {
  if (value instanceof File) return words.file(value);
  if (typeof value === "string") return words.text(value);
  if (JSON.isRawJSON?.(value)) return value.rawJSON; // A seed too large for a number.
  if (!value || typeof value !== "object") return words.word(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const entries = Array.isArray(value) ? value.map((each) => written(each, words, depth + 1)) : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${written(each, words, depth + 1)}`);
  if (!entries.length) return open + close;
  const pad = words.indent.repeat(depth + 1);
  return `${open}\n${entries.map((entry) => pad + entry).join(",\n")}\n${words.indent.repeat(depth)}${close}`;
}
