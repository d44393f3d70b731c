/** A table of orders as text: CSV, with commas, semicolons or tabs, as spreadsheets copy and save it. Pure. */

const SEPARATORS = [",", ";", "\t"];

/** What is wrong with the table itself, before anybody looks at what its cells mean. */
export class SheetError extends Error {}

/**
 * Return the lines' cells, trimmed, without lines that are empty at the end.
 * @throws {SheetError} where quotes are left open
 */
export function cellsOf(text) {
  const separator = separatorOf(text);
  const lines = [];
  let [line, cell, quoted] = [[], "", false];
  const plain = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  for (let at = 0; at < plain.length; at += 1) {
    const char = plain[at];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (plain[at + 1] === '"') [cell, at] = [cell + '"', at + 1];
      else quoted = false;
    } else if (char === '"' && cell.trim() === "") [cell, quoted] = ["", true];
    else if (char === separator) [line, cell] = [[...line, cell.trim()], ""];
    else if (char === "\n") {
      lines.push([...line, cell.trim()]);
      [line, cell] = [[], ""];
    } else cell += char;
  }
  if (quoted) throw new SheetError("A quote is opened and never closed.");
  lines.push([...line, cell.trim()]);
  while (lines.length && lines.at(-1).every((each) => !each)) lines.pop();
  return lines;
}

/** The heading tells: it holds names, and nothing that would need another separator. */
function separatorOf(text) {
  const heading = text.split("\n", 1)[0];
  const counts = SEPARATORS.map((each) => heading.split(each).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))];
}

/**
 * Return `{columns, rows}`: each row `{line, values}` with its filled cells by column, and what is wrong with it as `problem`.
 * @throws {SheetError} where no orders can be made of it
 */
export function tableOf(text, { most }) {
  const [columns, ...lines] = cellsOf(text);
  if (!columns) throw new SheetError("There is nothing here yet.");
  if (!columns.includes("prompt")) throw new SheetError(`The first line has to name the columns, one of them "prompt". Found: ${columns.filter(Boolean).join(", ") || "none"}.`);
  const bad = columns.findIndex((name, index) => !name || columns.indexOf(name) !== index);
  if (bad >= 0) throw new SheetError(columns[bad] ? `The column "${columns[bad]}" is there twice.` : `Column ${bad + 1} has no name.`);
  if (!lines.length) throw new SheetError("There is no row below the heading.");
  if (lines.length > most) throw new SheetError(`${lines.length} rows; a batch takes ${most}. Split the table.`);
  return { columns, rows: lines.map((cells, index) => rowOf(cells, columns, index + 2)) };
}

function rowOf(cells, columns, line) {
  const values = Object.fromEntries(columns.map((name, index) => [name, cells[index]]).filter(([, cell]) => cell));
  if (cells.length > columns.length) return { line, values, problem: `${cells.length} cells, but ${columns.length} columns; put quotes around a text with commas.` };
  if (!Object.keys(values).length) return { line, values, problem: "The row is empty." };
  return { line, values };
}

/**
 * Return a row as an item of a batch. A column is an input or an option, whichever the model has; `model` may be a column too.
 * @param {{line: number, values: object}} row
 * @param {{model: string, fieldsOf: (model: string, values: object) => import("./fields.js").Field[] | null}} given
 */
export function itemOf(row, { model, fieldsOf }) {
  const { model: own, ...values } = row.values;
  const item = { model: own || model, inputs: {}, options: {} };
  const fields = fieldsOf(item.model, values) || [];
  for (const [name, cell] of Object.entries(values)) {
    const field = fields.find((each) => each.name === name);
    item[field ? field.place : name === "prompt" ? "inputs" : "options"][name] = valueOf(field, cell);
  }
  return item;
}

/** Return what a cell means to its field: what cannot be read stays text, and the service says what is wrong with it. */
function valueOf(field, cell) {
  if (!field || ["prompt", "text", "image"].includes(field.kind)) return cell;
  if (field.kind === "images") return cell.split(/\s+/);
  if (field.kind === "switch") return { true: true, yes: true, 1: true, false: false, no: false, 0: false }[cell.toLowerCase()] ?? cell;
  if (field.kind === "size") return sizeOf(cell);
  if (field.kind === "choice") return field.choices.find((choice) => String(choice) === cell) ?? cell;
  if (field.kind === "number" || field.kind === "seed") return cell !== "" && Number.isFinite(Number(cell)) ? Number(cell) : cell;
  try {
    return JSON.parse(cell);
  } catch {
    return cell;
  }
}

function sizeOf(cell) {
  const sides = /^(\d+)\s*[x×]\s*(\d+)$/i.exec(cell);
  return sides ? { width: Number(sides[1]), height: Number(sides[2]) } : cell;
}
