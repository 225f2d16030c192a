/** Tokens by number: what several distributions name, each written once. A figure adds words.css. */

import { h } from "./dom.ts";
import { percent } from "./numbers.ts";

export interface Likely {
  readonly word: string;
  readonly share: number;
}

/** A table of likely tokens with bars; `mark` is the word that is told apart. */
export function likelyTable(caption: string, rows: readonly Likely[], mark?: string): HTMLTableElement {
  const lines = rows.map(({ word, share }) =>
    h("tr", { class: word === mark ? "picked" : null },
      h("td", {}, h("bdi", {}, word)),
      h("td", { class: "n" }, percent(share)),
      h("td", { class: "bars" }, h("span", { style: `width:${(100 * share).toFixed(2)}%` }))));
  return h("table", { class: "likely" }, h("caption", {}, caption), h("tbody", {}, ...lines));
}
