/** S1: choose a model, fill in what it takes, see the price, order. */

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { get } from "../api.js";
import { Failure } from "../parts/empty.js";
import { usdText } from "../parts/money.js";

export function Create() {
  const [models, setModels] = useState(null);
  const [error, setError] = useState(null);
  const load = () => get("/api/images/models").then((found) => setModels(found.models), setError);
  useEffect(() => void load(), []);
  if (error) return html`<${Failure} error=${error} onRetry=${load} />`;
  return html`<h1>Create</h1><ul>${(models || []).map((model) => html`<li key=${model.name}>${model.name} · ${usdText(model.costPerImage)}</li>`)}</ul>`;
}
