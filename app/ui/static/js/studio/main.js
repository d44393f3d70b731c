/** The Studio begins: who uses it is found out, then its frame is drawn. */

import { html, render } from "../../vendor/htm-preact.js";
import { Frame } from "../frame.js";
import { resume } from "../session.js";
import { screens } from "./screens.js";

const FOOTER = [
  { href: "/operator", text: "Operator" },
  { href: "/api-docs/", text: "API" },
];
const LEAD = "Make pictures, watch them come, and find them again.";

render(html`<${Frame} name="Studio" lead=${LEAD} base="/studio" screens=${screens} footer=${FOOTER} ready=${resume()} />`, document.getElementById("page"));
