/** The logit lens: what each layer would say after each token. */

import grid from "../grid.css";
import words from "../words.css";
import style from "./lens.css";
import { isDark, onTheme } from "../colour.ts";
import { choice, slider, status, toolbar } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { type Cell, GridView } from "../grid.ts";
import { percent } from "../numbers.ts";
import { shareTint } from "../tint.ts";
import { Tooltip } from "../tooltip.ts";
import { type Likely, likelyTable } from "../words.ts";

const SHOWN = 14; // columns of a laptop's width

interface Data {
  readonly tokens: readonly string[];
  readonly words: readonly string[];
  readonly targets: Tensor<Int32Array>; // [tokens], in words: what follows
  readonly top: Tensor<Int32Array>; // [layers + 1, tokens, top]
  readonly shares: Tensor;
  readonly logprobs: Tensor; // [layers + 1, tokens], of targets
  readonly ranks: Tensor<Int32Array>;
}

export interface LensState {
  readonly layer: number;
  readonly token: number;
  readonly likely: readonly Likely[];
  readonly cells: readonly string[]; // of the picked layer, what is in each column
  readonly rank: number;
}

const MODES = ["what it would say", "how likely it holds what follows"] as const;

class LensView {
  private mode = 0;
  private readonly grid: GridView;
  private readonly panel = h("div", { class: "beside" });
  private readonly say: (text: string) => void;
  private readonly tooltip: Tooltip;
  private readonly stages: number;

  constructor(private readonly host: HTMLElement, private readonly data: Data) {
    this.stages = data.top.shape[0]!;
    const last = data.tokens.length - 1;
    const colour = choice("Colour", MODES, 0, (to) => {
      this.mode = to;
      this.grid.redraw();
    });
    const token = slider("Token", data.tokens.map((label, i) => `${i} ${label}`), last, (to) => this.grid.to(to));
    toolbar(host, colour, ...(last < SHOWN ? [] : [token]));
    this.say = status(host);
    const layers = Array.from({ length: this.stages }, (_, i) => this.stages - 1 - i);
    this.grid = new GridView({
      name: "What each layer would say after each token", corner: "layers",
      rows: layers.map(String), columns: data.tokens, shown: SHOWN,
      cell: (row, column) => this.cell(layers[row]!, column),
      picked: (_, column) => {
        token.value = column;
        this.show();
      },
      hovered: (at, event) => this.hover(at && [layers[at[0]]!, at[1]], event),
    }, 0, last);
    this.tooltip = new Tooltip(host);
    const place = h("div", { class: "scroll" }, this.grid.element);
    host.append(h("style", {}, grid + words + style), h("div", { class: "lens" }, place, this.panel));
    const redraw = (): void => void requestAnimationFrame(() => this.grid.redraw());
    onTheme(redraw);
    redraw();
    this.show();
  }

  get state(): LensState {
    const { layer, token } = this, { words, tokens, ranks } = this.data;
    const cells = tokens.map((_, i) => words[this.likeliest(layer, i)]!);
    return { layer, token, likely: this.likely(layer, token), cells, rank: ranks.values[this.place(layer, token)]! };
  }

  private get layer(): number {
    return this.stages - 1 - this.grid.row;
  }

  private get token(): number {
    return this.grid.column;
  }

  private place(layer: number, token: number): number {
    return layer * this.data.tokens.length + token;
  }

  private likeliest(layer: number, token: number): number {
    return this.data.top.values[this.place(layer, token) * this.data.top.shape[2]!]!;
  }

  private likely(layer: number, token: number): Likely[] {
    const { top, shares, words } = this.data, width = top.shape[2]!, from = this.place(layer, token) * width;
    return Array.from({ length: width }, (_, i) =>
      ({ word: words[top.values[from + i]!]!, share: shares.values[from + i]! }));
  }

  private cell(layer: number, token: number): Cell {
    const [first] = this.likely(layer, token), held = Math.exp(this.data.logprobs.values[this.place(layer, token)]!);
    const share = this.mode ? held : first!.share;
    return {
      text: first!.word, colour: shareTint(share, isDark(this.host)),
      label: `after ${layer} layers, token ${token}: ${first!.word} ${percent(first!.share)}`,
    };
  }

  private hover(at: readonly [number, number] | null, event?: PointerEvent): void {
    if (!at || !event) return this.tooltip.hide();
    const named = this.likely(...at).map(({ word, share }) => `${word} ${percent(share)}`);
    this.tooltip.show(`${at[0]} layers, after ${this.data.tokens[at[1]]}: ${named.join(", ")}`, event.clientX, event.clientY);
  }

  private show(): void {
    const { layer, token } = this, { tokens, words, targets, logprobs, ranks } = this.data;
    const target = words[targets.values[token]!]!, place = this.place(layer, token);
    const what = token + 1 < tokens.length ? `${target}, which follows` : `${target}, the model's choice`;
    const after = layer ? `After ${layer} layers` : "Before the first layer";
    this.say(`${after}, at ${token} ${tokens[token]} — ${what}, has ${percent(Math.exp(logprobs.values[place]!))}, ` +
      `number ${ranks.values[place]} in line`);
    const caption = `${after}, after ${tokens[token]}`;
    this.panel.replaceChildren(likelyTable(caption, this.likely(layer, token), target), this.path(token));
  }

  /** How likely each layer holds what follows: a line from below upwards. */
  private path(token: number): HTMLElement {
    const rows = Array.from({ length: this.stages }, (_, i) => this.stages - 1 - i).map((layer) => {
      const share = Math.exp(this.data.logprobs.values[this.place(layer, token)]!);
      return h("span", { class: layer === this.layer ? "picked" : null, style: `--share:${share.toFixed(4)}` });
    });
    const target = this.data.words[this.data.targets.values[token]!]!;
    const told = `How likely each layer holds ${target}, the last one on top`;
    return h("figure", {}, h("figcaption", {}, told), h("div", { class: "path", role: "img", "aria-label": told }, ...rows));
  }
}

/** The figure `lens`. */
export function lens(host: HTMLElement, figure: Figure<Data>): () => LensState {
  const view = new LensView(host, figure.data);
  return () => view.state;
}
