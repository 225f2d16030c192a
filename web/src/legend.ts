/** What the colours mean. */

import { density } from "./colour.ts";
import { h } from "./dom.ts";

const MARKS = [0.01, 0.1, 0.5, 1];

/** The ink of shares, from none to all, with some shares where they are on its scale. */
export function shareLegend(): HTMLElement {
  const marks = MARKS.map((share) =>
    h("span", { style: `left:${100 * density(share)}%` }, `${100 * share} %`));
  return h("div", { class: "shares", role: "img", "aria-label": "More ink is a larger share of attention" },
    h("div", { class: "ink" }), h("div", { class: "marks", "aria-hidden": "true" }, ...marks));
}
