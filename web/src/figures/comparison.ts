/** Two runs, token by token: what each would say next, how far that differs, and from which layer. */

import style from "./comparison.css";
import { isDark, onTheme, signedColour } from "../colour.ts";
import { status } from "../controls.ts";
import { h, svg } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { percent } from "../numbers.ts";
import { tokenList, type TokenList } from "../tokens.ts";

export interface ComparisonData {
  readonly runs: readonly [string, string];
  readonly pairs: Tensor<Int32Array>; // [n, 2], rows of the two, -1 for none
  readonly tokens: readonly [readonly string[], readonly string[]];
  readonly next: readonly [readonly string[], readonly string[]]; // of each pair
  readonly shares: Tensor; // [n, 2]
  readonly logprobs: Tensor; // [n, 2]
  readonly divergence: Tensor; // [n]
  readonly distances: Tensor; // [layers + 1, n]
  readonly says: readonly string[];
}

export interface ComparisonState {
  readonly picked: number;
  readonly depths: readonly number[]; // of the tints
  readonly curve: readonly number[]; // distances by layer that are drawn
}

const LEAST_BITS = 0.5; // of the deepest tint: where little differs, little is tinted
const INK = 0.55;
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [460, 190, 44, 26];
const OTHERS = 60; // faint curves beside the picked one

const number = (x: number, digits = 3): string => (Number.isNaN(x) ? "" : x.toFixed(digits));

class ComparisonView {
  private readonly count: number;
  private readonly layers: number;
  private readonly most: number;
  private readonly list: TokenList;
  private readonly say: (text: string) => void;
  private readonly below = h("div", { class: "both" });

  constructor(private readonly host: HTMLElement, private readonly data: ComparisonData) {
    this.count = data.pairs.shape[0]!;
    this.layers = data.distances.shape[0]!;
    this.most = data.divergence.values.reduce((most, x) => (x > most ? x : most), LEAST_BITS);
    host.append(h("style", {}, style), h("p", {}, `Above the left run, ${data.runs[0]}; below the right, ${data.runs[1]}.`));
    const labels = Array.from({ length: this.count }, (_, at) => `${this.token(at, 0)} beside ${this.token(at, 1)}`);
    const first = this.worst();
    this.list = tokenList(labels, "Tokens of both runs", first, {
      picked: () => this.show(), hovered: (at) => this.tell(at ?? this.list.at),
    });
    this.list.element.classList.add("side-by-side");
    this.list.items.forEach((item, at) => {
      item.removeAttribute("aria-label"); // its content says it
      item.replaceChildren(h("bdi", {}, this.token(at, 0)), " ", h("bdi", {}, this.token(at, 1)));
      item.classList.toggle("parts", this.parts(at));
    });
    host.append(this.list.element);
    this.say = status(host);
    host.append(this.below, ...data.says.map((line) => h("p", { class: "quiet" }, line)));
    onTheme(() => this.colour());
    requestAnimationFrame(() => this.colour());
    this.show();
  }

  get state(): ComparisonState {
    return {
      picked: this.list.at,
      depths: Array.from({ length: this.count }, (_, at) => this.depth(at)),
      curve: this.curve(this.list.at),
    };
  }

  private worst(): number {
    const { values } = this.data.divergence;
    return values.reduce((best, x, at) => (x > (values[best] || 0) ? at : best), 0);
  }

  private token(at: number, side: number): string {
    const row = this.data.pairs.values[2 * at + side]!;
    return row < 0 ? "" : this.data.tokens[side]![row]!;
  }

  /** Whether the two would say another token. */
  private parts(at: number): boolean {
    const [left, right] = this.data.next.map((side) => side[at]!);
    return left !== "" && right !== "" && left !== right;
  }

  private depth(at: number): number {
    const bits = this.data.divergence.values[at]!;
    return Number.isNaN(bits) ? 0 : Math.sqrt(bits / this.most);
  }

  private curve(at: number): number[] {
    return Array.from({ length: this.layers }, (_, layer) => this.data.distances.values[layer * this.count + at]!);
  }

  private colour(): void {
    const dark = isDark(this.host);
    this.list.items.forEach((item, at) => (item.style.background = signedColour(INK * this.depth(at), dark)));
  }

  private tell(at: number): void {
    const bits = this.data.divergence.values[at]!;
    const apart = Number.isNaN(bits) ? "" : `, ${bits.toFixed(3)} bits apart`;
    this.say(`${at}: ${this.token(at, 0) || "(none)"} beside ${this.token(at, 1) || "(none)"}${apart}`);
  }

  private show(): void {
    const { at } = this.list;
    this.tell(at);
    this.below.replaceChildren(this.table(at), ...(this.layers ? [this.chart(at)] : []));
  }

  private table(at: number): HTMLElement {
    const { next, shares, logprobs } = this.data;
    const cell = (side: number, values: Tensor, digits: number): string => number(values.values[2 * at + side]!, digits);
    const rows: [string, (side: number) => string | Node][] = [
      ["token", (side) => h("bdi", {}, this.token(at, side))],
      ["its log-probability", (side) => cell(side, logprobs, 3)],
      ["would say next", (side) => h("bdi", {}, next[side]![at]!)],
      ["with a probability of", (side) => {
        const share = shares.values[2 * at + side]!;
        return Number.isNaN(share) ? "" : percent(share);
      }],
    ];
    const bits = this.data.divergence.values[at]!;
    return h("table", {}, h("caption", {}, `Pair ${at}${Number.isNaN(bits) ? "" : `: next tokens ${bits.toFixed(3)} bits apart`}`),
      h("thead", {}, h("tr", {}, h("td", {}), ...this.data.runs.map((run, side) => h("th", { scope: "col" }, `${side ? "right" : "left"}: ${run}`)))),
      h("tbody", {}, ...rows.map(([name, of]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, of(0)), h("td", {}, of(1))))));
  }

  /** How far the residuals are apart after each layer; the other tokens' faintly. */
  private chart(at: number): HTMLElement {
    const every = this.data.distances.values.filter((x) => !Number.isNaN(x));
    const most = every.reduce((a, b) => Math.max(a, b), 0) || 1;
    const x = (layer: number): number => LEFT + ((WIDTH - LEFT - 10) * layer) / Math.max(1, this.layers - 1);
    const y = (value: number): number => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - 22) * value) / most;
    const line = (of: number, name: string | null): SVGElement =>
      svg("polyline", { class: name, points: this.curve(of).map((value, layer) => `${x(layer)},${Number.isNaN(value) ? HEIGHT - BOTTOM : y(value)}`).join(" ") });
    const step = Math.ceil(this.count / OTHERS);
    const others = Array.from({ length: this.count }, (_, i) => i).filter((i) => i % step === 0 && !Number.isNaN(this.curve(i)[0]!));
    const own = Number.isNaN(this.curve(at)[0] ?? NaN) ? [] : [line(at, null)];
    return h("div", { class: "by-layer" }, svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `How far the residuals are apart, by layer: ${this.curve(at).map((v) => number(v, 2)).join(", ")}`,
    }, svg("text", { x: 0, y: 12 }, "how far the residuals are apart, by layer"),
      ...[0, most].map((value) => svg("g", {}, svg("line", { x1: LEFT, x2: WIDTH - 10, y1: y(value), y2: y(value) }),
        svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2)))),
      ...[0, this.layers - 1].map((layer) => svg("text", { x: x(layer), y: HEIGHT - 8, "text-anchor": "middle" }, `${layer}`)),
      ...others.map((i) => line(i, "others")), ...own));
  }
}

/** The figure `comparison`. */
export function comparison(host: HTMLElement, figure: Figure<ComparisonData>): () => ComparisonState {
  const view = new ComparisonView(host, figure.data);
  return () => view.state;
}
