/** Where the month leads to, and which budgets will be used up before its end. */

import { html } from "../../vendor/htm-preact.js";
import { dayText } from "../parts/day_bars.js";
import { usdText } from "../parts/money.js";
import { Table } from "../parts/table.js";
import { useAnswer } from "./asking.js";
import { Who } from "./names.js";
import { Panel } from "./pieces.js";

export function Forecast() {
  const { data, error } = useAnswer("/api/admin/spend/forecast");
  if (error) return html`<p class="wrong" role="alert">${error.message}</p>`;
  if (!data) return html`<div class="skeleton line"></div>`;
  const columns = [
    { key: "budget", title: "Budget of", cell: (each) => html`<${Owner} id=${each.budget} />` },
    { key: "limit", title: "A month", number: true, cell: (each) => usdText(each.limit) },
    { key: "spent", title: "Spent and held", number: true, cell: (each) => usdText(each.spent + each.held) },
    { key: "perDay", title: "A day", number: true, cell: (each) => usdText(each.perDay) },
    { key: "expected", title: "At this pace", number: true, cell: (each) => usdText(each.expected) },
    { key: "fullOn", title: "Used up", number: true, cell: (each) => (each.fullOn ? html`<strong class="wrong">${dayText(each.fullOn)}</strong>` : "not this month") },
  ];
  return html`<${Panel} title="Where this month leads">
    <p>At the pace of the last seven days <strong>${usdText(data.charged.expected)}</strong> will be charged and <strong>${usdText(data.paid.expected)}</strong> paid to fal by the end of the month (UTC); it is ${usdText(data.charged.spent)} and ${usdText(data.paid.spent)} now.</p>
    ${data.budgets.length ? html`<${Table} caption="Budgets" columns=${columns} rows=${data.budgets} rowKey=${(each) => each.budget} />` : html`<p class="hint">There are no budgets. A user's or a key's page sets one.</p>`}
  </${Panel}>`;
}

function Owner({ id }) {
  const [kind, ...rest] = id.split(":");
  return rest.length ? html`<${Who} kind=${kind} id=${rest.join(":")} />` : html`All together`;
}
