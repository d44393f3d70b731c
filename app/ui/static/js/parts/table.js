/** A table that becomes a list of cards where it is narrow: each cell then tells its column's name. */

import { html } from "../../vendor/htm-preact.js";

/**
 * @param {{columns: {key: string, title: string, number?: boolean, cell?: (row: object) => any}[], rows: object[],
 *   rowKey: (row: object) => string, caption: string, onRow?: (row: object) => void}} props `caption` is read out, not shown
 */
export function Table({ columns, rows, rowKey, caption, onRow }) {
  const cell = (column, row) => html`<td class=${column.number ? "number" : ""} data-title=${column.title}>${column.cell ? column.cell(row) : row[column.key]}</td>`;
  return html`<div class="table-frame"><table>
    <caption class="unseen">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.number ? "number" : ""}>${column.title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${rowKey(row)} class=${onRow ? "link" : ""} onClick=${onRow && (() => onRow(row))}>${columns.map((column) => cell(column, row))}</tr>`)}</tbody>
  </table></div>`;
}
