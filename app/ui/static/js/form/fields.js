/**
 * What a model's form consists of, from the JSON Schema of its requests (`inputSchema`). Pure: no page is needed, tests run it in node.
 *
 * Values are kept by name, as the API spells them; a picture may also be `{ref, …}`, with `ref` what is sent.
 * @typedef {{name: string, place: "inputs" | "options", kind: string, required: boolean, main: boolean, title: string, description: string,
 *   default?: any, choices?: any[], drawn?: boolean, min?: number, max?: number, whole?: boolean, minLength?: number, maxLength?: number, minItems?: number,
 *   maxItems?: number, columns?: object}} Field
 */

const TITLES = {
  prompt: "Prompt", num_images: "How many", image_size: "Size", aspect_ratio: "Shape", loras: "LoRAs", seed: "Seed",
  num_inference_steps: "Steps", guidance_scale: "Guidance", enable_safety_checker: "Safety checker",
};
/** Shown without opening the options: what changes most from one order to the next. */
const MAIN = new Set(["num_images", "image_size", "aspect_ratio"]);
/** Ways to name the shape, best first: a form offers one of them. */
const SHAPES = [["image_size"], ["aspect_ratio"], ["width", "height"]];
const MIXED = /^[A-Z]/;

/** Return the fields of a form, required ones first. The values decide where a value lets the request follow another schema. */
export function fieldsOf(schema, values = {}) {
  const { inputs, options } = bodySchema(schema, values);
  const required = new Set(requiredNames(inputs));
  const aliases = aliasesIn(inputs);
  const shape = SHAPES.find((names) => names.every((name) => name in inputs.properties)) || [];
  const unused = new Set(SHAPES.flat().filter((name) => !shape.includes(name)));
  const found = [];
  for (const [name, plain] of Object.entries(inputs.properties)) {
    const property = isSelector(plain) ? selected(schema, name) : plain;
    const field = fieldOf(name, property, required.has(name));
    if (aliases.has(name) || (unused.has(name) && !required.has(name)) || !field) continue;
    found.push({ ...field, place: required.has(name) || !(name in options.properties) ? "inputs" : "options" });
  }
  const rank = (field) => (field.name === "prompt" ? 0 : field.required ? 1 : field.main ? 2 : 3);
  return found.sort((one, other) => rank(one) - rank(other));
}

/** Return the schemas of `inputs` and `options` that these values follow. */
function bodySchema(schema, values) {
  let body = schema;
  while (body.if) body = selectorsOf(body).some((name) => !isEmpty(values[name])) ? body.then : body.else;
  return body.properties;
}

function selectorsOf(body) {
  return Object.keys(body.then.properties.inputs.properties).filter((name) => isSelector(followed(body.else, name)));
}

/** Return a property's schema where no selector has a value. */
function followed(body, name) {
  let inner = body;
  while (inner.if) inner = inner.else;
  return inner.properties.inputs.properties[name] || {};
}

/** Return what a selector takes: its schema in the branch that it leads to. */
function selected(schema, name) {
  for (let body = schema; body.if; body = body.else) {
    const found = body.then.properties.inputs.properties[name];
    if (found && !isSelector(found)) return found;
  }
  return {};
}

function isSelector(property) {
  return Array.isArray(property.enum) && property.enum.some((value) => Array.isArray(value) || value === "");
}

function requiredNames(inputs) {
  const choices = (inputs.allOf || []).filter((rule) => rule.oneOf).map((rule) => rule.oneOf[0].required[0]);
  return [...(inputs.required || []), ...choices];
}

/** Return the other names of what is required under one of several. */
function aliasesIn(inputs) {
  return new Set((inputs.allOf || []).filter((rule) => rule.oneOf).flatMap((rule) => rule.oneOf.slice(1).map((one) => one.required[0])));
}

/** Return a field, or null for what has only one value anyway. @returns {Field | null} */
function fieldOf(name, property, required) {
  if (property.enum?.length === 1) return null;
  const common = {
    name, required, main: MAIN.has(name), title: titleOf(name), description: property.description || "", default: property.default,
  };
  return { ...common, ...kindOf(name, property) };
}

function kindOf(name, property) {
  const { minItems, maxItems } = property;
  if (isImage(property)) return { kind: "image" };
  if (property.type === "array" && isImage(property.items || {})) return { kind: "images", minItems, maxItems };
  if (property.type === "array" && property.items?.properties) return { kind: "rows", columns: columnsOf(property.items), minItems, maxItems };
  if (property.type === "array") return { kind: "list", minItems, maxItems };
  const size = sizeIn(property);
  if (size) return { kind: "size", choices: size.presets, max: size.max };
  if (property.enum) return { kind: "choice", choices: property.enum, drawn: name === "aspect_ratio" };
  if (property.type === "boolean") return { kind: "switch" };
  if (property.type === "integer" || property.type === "number") return numberOf(name, property);
  if (property.type === "string") return { kind: name === "prompt" ? "prompt" : "text", minLength: property.minLength, maxLength: property.maxLength };
  return { kind: "json" };
}

function numberOf(name, property) {
  const whole = property.type === "integer";
  // What is larger a browser would send as another number.
  const max = Math.min(property.maximum ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const min = Math.max(property.minimum ?? Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER);
  return { kind: name === "seed" ? "seed" : "number", whole, min, max, above: property.exclusiveMinimum };
}

function columnsOf(items) {
  const required = new Set(items.required || []);
  return Object.fromEntries(
    Object.entries(items.properties)
      .map(([name, property]) => [name, fieldOf(name, property, required.has(name))])
      .filter(([, field]) => field),
  );
}

function isImage(property) {
  return Boolean(property.anyOf?.some((one) => one.pattern?.startsWith("^upload:")));
}

function sizeIn(property) {
  const object = property.anyOf?.find((one) => one.properties?.width && one.properties?.height);
  const presets = property.anyOf?.find((one) => one.enum)?.enum;
  return object && presets ? { presets, max: object.properties.width.maximum } : null;
}

/** Return a name in words: "base_image_url" is "Base image". */
export function titleOf(name) {
  if (TITLES[name]) return TITLES[name];
  const words = name.replace(/_urls$/, "s").replace(/_url$/, "").split("_").filter(Boolean).join(" ");
  return MIXED.test(words) ? words : words.charAt(0).toUpperCase() + words.slice(1);
}

/** Tell whether a value counts as not given. */
export function isEmpty(value) {
  if (value === undefined || value === null || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "string" && value.trim() === "";
}
