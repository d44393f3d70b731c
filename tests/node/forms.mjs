// Fill in the forms of all models, by the rules that the Studio's own form follows: reads {name: inputSchema}, prints the bodies.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, schemas] = process.argv.slice(2);
const { fieldsOf } = await import(pathToFileURL(`${folder}/fields.js`));
const { bodyOf, estimateOf, problemsOf } = await import(pathToFileURL(`${folder}/body.js`));
const UPLOAD = "upload:0198a1f0-0000-7000-8000-000000000000";

/** Return values for a field: of each kind what people can enter, the ends of its range among them. */
function triesOf(field) {
  switch (field.kind) {
    case "prompt":
    case "text": {
      const text = [...'a <b>🚲</b> & "دراجة" $x'].slice(0, field.maxLength).join("");
      const least = text.padEnd((field.minLength || 1) + 1, "x");
      return [least, "x".repeat(Math.min(field.maxLength || 100, 2000)).padEnd(field.minLength || 1, "x")];
    }
    case "image":
      return [{ ref: UPLOAD, preview: "blob:x", name: "x" }, "https://example.com/a.png", { ref: "data:image/png;base64,iVBORw0KGgo=" }];
    case "images":
      return [[{ ref: UPLOAD }], Array.from({ length: field.maxItems || 3 }, () => UPLOAD)];
    case "choice":
      return field.choices;
    case "size":
      return [...field.choices, { width: 1024, height: 768 }, { width: "512", height: "512" }];
    case "switch":
      return [true, false];
    case "number":
    case "seed":
      return [field.above === undefined ? field.min : field.above + (field.whole ? 1 : 0.5), field.max, String(field.default ?? field.min + 1)];
    case "rows":
      return [[], [Object.fromEntries(Object.values(field.columns).map((column) => [column.name, column.name === "path" ? "owner/name" : triesOf(column)[0]]))]];
    case "list":
      return [["a"]];
    default:
      return field.name === "settings" ? ['{"a": 1}', '{"b": ["x", true]}'] : ['"text"', "[1, 2]", "plain words"];
  }
}

const found = {};
for (const [model, schema] of Object.entries(JSON.parse(readFileSync(schemas)))) {
  const least = Object.fromEntries(fieldsOf(schema).filter((field) => field.required).map((field) => [field.name, triesOf(field)[0]]));
  const bodies = [];
  const add = (values) => {
    const fields = fieldsOf(schema, values);
    const body = bodyOf(model, fields, values);
    bodies.push({ body, estimate: estimateOf(body, fields), problems: problemsOf(fields, values) });
  };
  add(least);
  // Values of other models' forms, which a person has left behind, never get into a body.
  add({ ...least, left_behind: "x", resolution: "of another model", image_size: "of another model", seed: "" });
  for (const field of fieldsOf(schema)) for (const value of triesOf(field)) add({ ...least, [field.name]: value });
  const everything = Object.fromEntries(fieldsOf(schema).map((field) => [field.name, triesOf(field).at(-1)]));
  add(everything);
  for (const field of fieldsOf(schema, everything)) for (const value of triesOf(field)) add({ ...everything, [field.name]: value });
  found[model] = { bodies, names: fieldsOf(schema).map((field) => field.name), empty: problemsOf(fieldsOf(schema), {}) };
}
console.log(JSON.stringify(found));
