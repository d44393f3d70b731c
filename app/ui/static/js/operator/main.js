/** The operator's page begins: who uses it is found out, then its frame is drawn. */

import { html, render } from "../../vendor/htm-preact.js";
import { Frame } from "../frame.js";
import { resume } from "../session.js";
import { gate } from "./gate.js";
import { screens } from "./screens.js";

const FOOTER = [
  { href: "/studio", text: "Studio" },
  { href: "/api-docs/", text: "API" },
];
const LEAD = "How the service is doing, who spends what, what fails, and what to do about it.";

render(
  html`<${Frame} name="Operator" lead=${LEAD} base="/operator" screens=${screens} footer=${FOOTER} ready=${resume()} allowed=${gate} />`,
  document.getElementById("page"),
);
