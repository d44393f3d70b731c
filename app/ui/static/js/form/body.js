/** From a form's values to what is sent, and to what still stands in the way. Pure, as fields.js. */

import { isEmpty } from "./fields.js";

/**
 * Return `{model, inputs, options}`: what was filled in and the model knows; nothing else is ever sent.
 * @param {import("./fields.js").Field[]} fields
 */
export function bodyOf(model, fields, values) {
  const body = { model, inputs: {}, options: {} };
  for (const field of fields) {
    const value = sentOf(field, values[field.name]);
    if (value !== undefined) body[field.place][field.name] = value;
  }
  return body;
}

/** Return the same to ask for its price: what only the order needs is left out, above all pictures. */
export function estimateOf(body, fields) {
  const plain = (place) => Object.fromEntries(Object.entries(body[place]).filter(([name]) => !needless(fields.find((field) => field.name === name))));
  return { model: body.model, inputs: plain("inputs"), options: plain("options") };
}

function needless(field) {
  return !field || ["image", "images", "prompt", "text"].includes(field.kind);
}

/** Return how many pictures a body asks for. */
export function countOf(body) {
  return Number(body.options.num_images ?? body.inputs.num_images ?? 1) || 1;
}

/** Return what is sent for a value; undefined: nothing. */
function sentOf(field, value) {
  if (isEmpty(value)) return undefined;
  switch (field.kind) {
    case "image":
      return refOf(value);
    case "images":
      return nonEmpty(value.map(refOf).filter(Boolean));
    case "rows":
      return nonEmpty(value.map((row) => rowOf(field, row)).filter((row) => !Object.values(field.columns).some((column) => column.required && !(column.name in row))));
    case "list":
      return nonEmpty(value.filter((each) => !isEmpty(each)));
    case "choice":
      return field.choices.includes(value) ? value : undefined;
    case "size":
      return sizeOf(field, value);
    case "seed":
      return wholeOf(value);
    case "number":
      return Number.isFinite(Number(value)) ? Number(value) : undefined;
    case "switch":
      return Boolean(value) === Boolean(field.default) ? undefined : Boolean(value);
    case "json":
      return parsed(value);
    default:
      return String(value);
  }
}

/** Return a whole number with all its digits, also where it is beyond what a number holds exactly, as seeds of some models are. */
function wholeOf(value) {
  if (Number.isSafeInteger(Number(value)) || !JSON.rawJSON || !/^\d+$/.test(String(value))) return Number.isFinite(Number(value)) ? Number(value) : undefined;
  return JSON.rawJSON(String(value));
}

function rowOf(field, row) {
  const sent = Object.values(field.columns).map((column) => [column.name, sentOf(column, row[column.name])]);
  return Object.fromEntries(sent.filter(([, value]) => value !== undefined));
}

function sizeOf(field, value) {
  if (typeof value === "string") return field.choices.includes(value) ? value : undefined;
  const [width, height] = [Number(value.width), Number(value.height)];
  return width > 0 && height > 0 ? { width, height } : undefined;
}

function nonEmpty(list) {
  return list.length ? list : undefined;
}

function parsed(value) {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** Return what is sent of a picture: the form may know more of it. */
export function refOf(value) {
  return typeof value === "string" ? value : value?.ref || "";
}

/**
 * Return what is wrong before anything is asked, as `{name: sentence}`.
 * @param {import("./fields.js").Field[]} fields
 */
export function problemsOf(fields, values) {
  const found = {};
  for (const field of fields) {
    const problem = problemOf(field, values[field.name]);
    if (problem) found[field.name] = problem;
  }
  return found;
}

function problemOf(field, value) {
  if (field.kind === "image" && value?.busy) return "This picture is still on its way.";
  if (field.kind === "images" && Array.isArray(value) && value.some((each) => each?.busy)) return "A picture is still on its way.";
  if (isEmpty(value) || (field.kind === "image" && !refOf(value))) return field.required ? missing(field) : null;
  if (field.minLength && typeof value === "string" && [...value.trim()].length < field.minLength) return `At least ${field.minLength} characters.`;
  if (field.maxLength && typeof value === "string" && [...value].length > field.maxLength) return `At most ${field.maxLength} characters.`;
  if (field.kind === "number" || field.kind === "seed") return numberProblem(field, Number(value));
  if (field.kind === "images") return countProblem(field, value.filter(refOf).length);
  if (field.kind === "size" && typeof value === "object" && !sizeOf(field, value)) return "Give width and height.";
  return null;
}

function missing(field) {
  if (field.kind === "prompt") return "Say what you want to see.";
  return field.kind === "image" || field.kind === "images" ? "Add a picture." : "This is needed.";
}

function numberProblem(field, number) {
  if (!Number.isFinite(number)) return "This is not a number.";
  if (field.whole && !Number.isInteger(number)) return "This must be a whole number.";
  if (number < field.min || number > field.max) return `From ${field.min} to ${field.max}.`;
  return field.above !== undefined && number <= field.above ? `More than ${field.above}.` : null;
}

function countProblem(field, count) {
  if (field.required && count === 0) return missing(field);
  if (field.minItems && count < field.minItems) return `At least ${field.minItems} pictures.`;
  return field.maxItems && count > field.maxItems ? `At most ${field.maxItems} pictures.` : null;
}

const NAMED = { square: 1, square_hd: 1, portrait_4_3: 3 / 4, portrait_16_9: 9 / 16, landscape_4_3: 4 / 3, landscape_16_9: 16 / 9 };

/** Return the shape of what will come, width by height; 1 where nobody can know. `settings` are inputs and options together. */
export function ratioOf(settings) {
  const { image_size: size, aspect_ratio: aspect, width, height } = settings;
  if (typeof size === "string" && NAMED[size]) return NAMED[size];
  const [across, down] = size?.width ? [size.width, size.height] : width ? [width, height] : String(aspect || "").split(":").map(Number);
  return across > 0 && down > 0 ? across / down : 1;
}
