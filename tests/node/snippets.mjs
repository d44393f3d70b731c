// Print an order as code, as the Studio's code tab shows it: reads [[server, body, caller, orderKey], …], prints what each is in every language.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, orders] = process.argv.slice(2);
const { snippetsOf } = await import(pathToFileURL(module));
console.log(JSON.stringify(JSON.parse(readFileSync(orders)).map((order) => snippetsOf(order))));
