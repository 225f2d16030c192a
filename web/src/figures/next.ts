/** What may come next, under a temperature and a top-p. */

import words from "../words.css";
import style from "./next.css";
import { slider, status, toolbar } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { percent } from "../numbers.ts";
import { tokenList, type TokenList } from "../tokens.ts";

const TOP_P = Array.from({ length: 20 }, (_, i) => (i + 1) / 20);

interface Data {
  readonly tokens: readonly string[];
  readonly position: number;
  readonly words: readonly string[];
  readonly top: Tensor<Int32Array>; // [tokens, top]
  readonly logprobs: Tensor;
  readonly actual: Tensor<Int32Array>; // which of these came, or -1
  readonly temperatures: readonly number[];
  readonly tempered: Tensor; // [tokens, temperatures]: log of the sum of exp(logprob / temperature)
  readonly vocabulary: number;
}

interface Row {
  readonly word: string;
  readonly model: number; // the model's own share
  readonly share: number; // what it is drawn with; 0 where top-p cuts it off
}

export interface NextState {
  readonly position: number;
  readonly temperature: number;
  readonly topP: number;
  readonly rows: readonly Row[];
  readonly rest: number; // of all other tokens together, before top-p
  readonly drawn: number | null; // tokens in the draw; null: more than are listed
}

class NextTokens {
  private heat: number;
  private nucleus = TOP_P.length - 1;
  private readonly list: TokenList;
  private readonly table = h("div", {});
  private readonly say: (text: string) => void;

  constructor(host: HTMLElement, private readonly data: Data) {
    this.heat = data.temperatures.indexOf(1);
    this.list = tokenList(data.tokens, "After which token", data.position, { picked: () => this.show() });
    toolbar(host,
      slider("Temperature", data.temperatures.map((t) => t.toFixed(1)), this.heat, (to) => {
        this.heat = to;
        this.show();
      }),
      slider("Top-p", TOP_P.map((p) => (p === 1 ? "off" : p.toFixed(2))), this.nucleus, (to) => {
        this.nucleus = to;
        this.show();
      }));
    this.say = status(host);
    host.append(h("style", {}, words + style), this.list.element, this.table);
    this.show();
  }

  get state(): NextState {
    const { top, logprobs, words, temperatures, tempered } = this.data;
    const width = top.shape[1]!, from = this.list.at * width, temperature = temperatures[this.heat]!;
    const total = tempered.values[this.list.at * temperatures.length + this.heat]!;
    const model = Array.from(logprobs.values.subarray(from, from + width));
    const heated = model.map((logprob) => Math.exp(logprob / temperature - total));
    const topP = TOP_P[this.nucleus]!, { drawn, mass } = cut(heated, topP);
    const rows = heated.map((share, i) => ({
      word: words[top.values[from + i]!]!,
      model: Math.exp(model[i]!),
      share: drawn === null || i < drawn ? share / mass : 0,
    }));
    const rest = Math.max(0, 1 - heated.reduce((sum, share) => sum + share, 0));
    return { position: this.list.at, temperature, topP, rows, rest, drawn };
  }

  private show(): void {
    const state = this.state, { data } = this, came = data.actual.values[state.position]!;
    const rows = state.rows.map((row, i) => line(row, i, i === came));
    const head = h("tr", {}, h("th", { class: "n" }, "rank"), h("th", {}, "token"),
      h("th", { class: "n" }, "the model's"), h("th", { class: "n" }, "drawn with"), h("td"));
    this.table.replaceChildren(h("table", { class: "likely next" }, h("thead", {}, head), h("tbody", {}, ...rows)));
    this.say(this.told(state, rows.length));
  }

  private told({ position, topP, rest, drawn }: NextState, listed: number): string {
    const after = `After ${position} ${this.data.tokens[position]}`;
    const others = `all ${this.data.vocabulary - listed} others have ${percent(rest)}`;
    if (topP === 1) return `${after}: every token may be drawn; ${others}.`;
    if (drawn !== null) return `${after}: ${drawn} token${drawn === 1 ? "" : "s"} in the draw; ${others} before the cut.`;
    return `${after}: these ${listed} and more are in the draw, how many is not known here; ${others} before the cut.`;
  }
}

/** The tokens that top-p leaves, likeliest first, and what they have together. Where these few do not
 * reach it, no number of them; the sum is then p, or up to one token's share more. */
function cut(shares: readonly number[], topP: number): { drawn: number | null; mass: number } {
  if (topP === 1) return { drawn: null, mass: 1 };
  let mass = 0;
  for (const [i, share] of shares.entries()) {
    mass += share;
    if (mass >= topP) return { drawn: i + 1, mass };
  }
  return { drawn: null, mass: topP };
}

function line({ word, model, share }: Row, rank: number, came: boolean): HTMLElement {
  return h("tr", { class: came ? "picked" : share ? null : "cut", title: came ? "this one came" : null },
    h("td", { class: "n" }, `${rank + 1}`),
    h("td", {}, h("bdi", {}, word)),
    h("td", { class: "n" }, percent(model)),
    h("td", { class: "n" }, share ? percent(share) : "cut off"),
    h("td", { class: "bars" }, h("span", { style: `width:${(100 * Math.min(share, 1)).toFixed(2)}%` })));
}

/** The figure `next`. */
export function next(host: HTMLElement, figure: Figure<Data>): () => NextState {
  const view = new NextTokens(host, figure.data);
  return () => view.state;
}
