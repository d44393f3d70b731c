// Rules of the Studio that need no page: reads tables of orders, a month's spending, and a long list; prints what they make of them.

import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const { itemOf, tableOf } = await load("form/sheet.js");
const { forecastOf } = await load("studio/forecast.js");
const { KEPT, Listing } = await load("studio/listing.js");

const FIELDS = [
  { name: "prompt", place: "inputs", kind: "prompt" },
  { name: "num_images", place: "options", kind: "number" },
  { name: "image_size", place: "options", kind: "size", choices: ["square"] },
  { name: "safe", place: "options", kind: "switch" },
  { name: "image_urls", place: "inputs", kind: "images" },
];

function itemsOf(text) {
  try {
    return tableOf(text, { most: 3 }).rows.map((row) => row.problem || itemOf(row, { model: "usual", fieldsOf: () => FIELDS }));
  } catch (error) {
    return error.message;
  }
}

/** A list of `count` numbers, some pages of which are empty, as where a filter looks at many for few. */
function pagesOf(count) {
  const reads = [];
  const read = async (cursor, limit) => {
    reads.push(cursor);
    const first = Number(cursor || 0);
    if (first === 100 && !reads.includes("again")) return reads.push("again") && { items: [], next: "100" };
    const items = Array.from({ length: Math.min(limit, count - first) }, (_, index) => ({ id: first + index }));
    return { items, next: first + limit < count ? String(first + limit) : null };
  };
  return { read, reads };
}

async function longList() {
  const { read } = pagesOf(3000);
  const list = new Listing(read, () => {});
  let most = 0;
  while (list.hasMore) {
    await list.more();
    await list.near(list.length - 60, list.length);
    most = Math.max(most, list.pages.reduce((sum, page) => sum + (page.items?.length || 0), 0));
  }
  const dropped = list.at(10) === undefined;
  await list.near(0, 60);
  list.remove((item) => item.id === 11);
  list.update((item) => item.id === 12, { favorite: true });
  return { length: list.length, most, kept: KEPT, dropped, again: [list.at(10).id, list.at(11)], where: list.indexOf((item) => item.id === 2999) };
}

const now = new Date("2026-11-11T00:00:00Z");
console.log(JSON.stringify({
  tables: {
    commas: itemsOf('\ufeffprompt,num_images,safe\r\n"a boat, red",2,yes\r\n"say ""hi""",,no\r\n\r\n'),
    tabs: itemsOf("model\tprompt\timage_size\nother\ta boat, red\t640x480"),
    images: itemsOf("prompt,image_urls,unknown\na,upload:1 upload:2,x"),
    open: itemsOf('prompt\n"a boat'),
    nameless: itemsOf("prompt,\na,b"),
    twice: itemsOf("prompt,prompt\na,b"),
    none: itemsOf("words\na"),
    headOnly: itemsOf("prompt"),
    tooMany: itemsOf("prompt\na\nb\nc\nd"),
    tooWide: itemsOf("prompt,seed\na,b,c"),
  },
  months: {
    steady: forecastOf({ monthly: 100, spent: 20, held: 0 }, now),
    reached: forecastOf({ monthly: 50, spent: 20, held: 5 }, now),
    full: forecastOf({ monthly: 20, spent: 20, held: 0 }, now),
    nothing: forecastOf({ monthly: 20, spent: 0, held: 0 }, now),
    firstHour: forecastOf({ monthly: 100, spent: 1, held: 0 }, new Date("2026-11-01T01:00:00Z")),
  },
  list: await longList(),
}));
