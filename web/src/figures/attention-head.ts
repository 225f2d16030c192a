/** Which tokens a token looks at: lines between two columns, one colour a head. */

import style from "./attention-head.css";
import { Attention, type AttentionData } from "../attention.ts";
import { density, distinct } from "../colour.ts";
import { check, slider, status, toolbar } from "../controls.ts";
import { h, svg } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { percent } from "../numbers.ts";
import { Strongest, strongest } from "../strongest.ts";
import { tokenList, type TokenList } from "../tokens.ts";

const LINE = 22; // pixels from one token to the next
const GAP = 420; // between the columns
const LEAST = 0.005; // a weight whose line would be too thin to see, and whose tint too faint

interface Link {
  readonly head: number; // as the data lists it
  readonly from: number;
  readonly to: number;
  readonly weight: number;
}

export interface HeadState {
  readonly layer: number;
  readonly row: number;
  readonly heads: readonly number[];
  readonly links: readonly Link[];
}

class HeadView {
  private layer = 0;
  private chosen: Set<number>;
  private hovered: number | null = null;
  private first = true; // whether the first token's links are drawn
  private readonly attention: Attention;
  private readonly lines = svg("g");
  private readonly left: TokenList;
  private readonly right: HTMLElement[];
  private readonly list: Strongest;
  private readonly say: (text: string) => void;
  private links: Link[] = [];
  private tinted: number[] = [];

  constructor(host: HTMLElement, data: AttentionData) {
    this.attention = new Attention(data);
    this.chosen = new Set(data.heads.length > 1 ? data.heads.keys() : [0]);
    const { tokens } = data;
    this.left = tokenList(tokens, "Tokens that look", tokens.length - 1, {
      picked: () => this.show(),
      hovered: (at) => this.hover(at),
    });
    this.right = tokens.map((label) => h("div", { class: "seen" }, h("bdi", {}, label)));
    host.append(h("style", {}, style));
    this.list = new Strongest(tokens);
    this.controls(host);
    this.columns(host);
    this.say = status(host);
    this.show();
  }

  get state(): HeadState {
    const { layers, heads } = this.attention;
    return {
      layer: layers[this.layer]!,
      row: this.row,
      heads: [...this.chosen].map((head) => heads[head]!),
      links: this.links.map((link) => ({ ...link, head: heads[link.head]! })),
    };
  }

  private get row(): number {
    return this.hovered ?? this.left.at;
  }

  private hover(at: number | null): void {
    this.hovered = at;
    this.show();
  }

  private controls(host: HTMLElement): void {
    const { layers, heads } = this.attention;
    const layer = slider("Layer", layers.map(String), 0, (at) => {
      this.layer = at;
      this.show();
    });
    const toggles = heads.map((head, at) => this.toggle(`${head}`, at));
    const group = h("span", { class: "heads", role: "group", "aria-label": "Heads" }, "Heads ", ...toggles);
    const first = check("links to the first token", true, (on) => {
      this.first = on;
      this.show();
    });
    toolbar(host, layer, group, first);
  }

  /** A button that puts a head in or out; with a double click it alone is left. */
  private toggle(name: string, at: number): HTMLElement {
    const made = h("button", {
      type: "button", "aria-pressed": "true", "aria-label": `Head ${name}`, style: `--head:${distinct(at)}`,
      title: "click: show or hide; double click: this head alone",
      click: () => this.choose(made, this.chosen.has(at) ? "without" : "with", at),
      dblclick: () => this.choose(made, "alone", at),
    }, name);
    return made;
  }

  private choose(button: HTMLElement, how: "with" | "without" | "alone", at: number): void {
    if (how === "with") this.chosen.add(at);
    else if (how === "without") this.chosen.delete(at);
    else this.chosen = new Set([at]);
    [...button.parentElement!.children].forEach((one, i) =>
      one.setAttribute("aria-pressed", `${this.chosen.has(i)}`));
    this.show();
  }

  private columns(host: HTMLElement): void {
    const height = this.attention.rows * LINE;
    const drawing = svg("svg", { width: GAP, height, "aria-hidden": "true" }, this.lines);
    const right = h("div", { "aria-hidden": "true" }, ...this.right);
    const names = h("div", { class: "over-columns" }, h("span", {}, "this token"), h("span", {}, "looks at"));
    const scroll = h("div", { class: "columns" }, this.left.element, drawing, right);
    const beside = h("div", { class: "beside" }, this.list.element);
    host.append(h("div", { class: "side-by-side" }, h("div", {}, names, scroll), beside));
    requestAnimationFrame(() => (scroll.scrollTop = this.left.at * LINE));
  }

  private show(): void {
    const { row } = this;
    const taken = new Float32Array(this.attention.rows);
    this.links = [...this.chosen].sort((a, b) => a - b).flatMap((head) => {
      const pattern = this.pattern(head, row);
      pattern.forEach((weight, to) => (taken[to]! += weight / this.chosen.size));
      return linksOf(head, row, pattern);
    });
    this.lines.replaceChildren(...this.links.map((link) => this.line(link)));
    this.tint(taken);
    this.list.show(row, taken);
    const [most] = strongest(taken);
    const [only] = this.chosen, several = this.chosen.size > 1;
    const who = several ? `, ${this.chosen.size} heads on average` : only === undefined ? "" : `, head ${this.attention.heads[only]}`;
    const seen = most === undefined ? "nothing" : `${most} ${this.attention.tokens[most]} ${percent(taken[most]!)}`;
    const layer = `Layer ${this.attention.layers[this.layer]}${who}`;
    this.say(`${layer}: ${row} ${this.attention.tokens[row]} looks most at ${seen}`);
  }

  /** Most tokens are looked at neither before nor after: a long text has thousands of them. */
  private tint(taken: Float32Array): void {
    for (const at of this.tinted) this.right[at]!.style.removeProperty("--taken");
    this.tinted = strongest(taken).filter((at) => taken[at]! >= LEAST);
    for (const at of this.tinted) this.right[at]!.style.setProperty("--taken", `${density(taken[at]!)}`);
  }

  private pattern(head: number, row: number): Float32Array {
    const pattern = new Float32Array(this.attention.rows);
    this.attention.pattern(this.layer, head, row, pattern);
    if (!this.first) pattern[0] = 0;
    return pattern;
  }

  private line({ head, from, to, weight }: Link): SVGElement {
    const y = (at: number): number => (at + 0.5) * LINE;
    return svg("path", {
      d: `M0 ${y(from)} C${GAP / 2} ${y(from)} ${GAP / 2} ${y(to)} ${GAP} ${y(to)}`,
      stroke: distinct(head), "stroke-width": 1 + 5 * weight, "stroke-opacity": Math.sqrt(weight), fill: "none",
    });
  }
}

/** What is worth a line: many a weight would be too thin to see. */
function linksOf(head: number, from: number, pattern: Float32Array): Link[] {
  return Array.from(pattern, (weight, to) => ({ head, from, to, weight })).filter(({ weight }) => weight >= LEAST);
}

/** The figure `attention-head`. */
export function attentionHead(host: HTMLElement, figure: Figure<AttentionData>): () => HeadState {
  const view = new HeadView(host, figure.data);
  return () => view.state;
}
