/** A table of what a token looks at most: the figure's numbers, for who cannot see its ink. */

import { h } from "./dom.ts";
import { percent } from "./numbers.ts";

const LISTED = 8;

export class Strongest {
  private readonly caption = h("caption");
  private readonly body = h("tbody");
  readonly element = h("table", { class: "strongest" }, this.caption, this.body);

  constructor(private readonly tokens: readonly string[]) {}

  /** `weights` of the positions up to `row`; `picked` is marked where it is among the strongest. */
  show(row: number, weights: Float32Array, picked?: number): void {
    this.caption.replaceChildren(`Token ${row} `, h("bdi", {}, this.tokens[row]!), " looks at");
    this.body.replaceChildren(...strongest(weights).slice(0, LISTED).map((at) =>
      h("tr", { class: at === picked ? "picked" : null },
        h("td", { class: "n" }, `${at}`), h("td", {}, h("bdi", {}, this.tokens[at]!)),
        h("td", { class: "n" }, percent(weights[at]!)))));
  }
}

/** Positions, the largest weight first; those of no weight are left out. */
export function strongest(weights: Float32Array): number[] {
  const order = [...weights.keys()].filter((at) => weights[at]! > 0);
  return order.sort((a, b) => weights[b]! - weights[a]!);
}
