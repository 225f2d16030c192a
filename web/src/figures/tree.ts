/** What a search considered, or what stood beside each chosen token: a tree that can be folded. */

import style from "./tree.css";
import { button, status, toolbar } from "../controls.ts";
import { h, svg } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { type Placed, tidy } from "./tidy.ts";

export interface TreeData {
  readonly labels: readonly string[];
  readonly parents: readonly number[];
  readonly children: readonly (readonly number[])[]; // best first
  readonly heirs: readonly boolean[];
  readonly logprobs: readonly (number | null)[]; // the model's own
  readonly processed: readonly (number | null)[] | null; // after filters, null of what one removed; not told if all are the same
  readonly scores: readonly (number | null)[];
  readonly fates: readonly (string | null)[];
  readonly removers: readonly (string | null)[];
  readonly depth: number; // tokens of each way, and branches of each node, that are shown at first
  readonly width: number;
  readonly says: string;
}

export interface TreeState {
  readonly picked: number;
  readonly drawn: readonly { node: number; x: number; y: number; fate: string }[];
}

const LINE = 46;
const BOX = 24;
const CHARACTER = 7.9;
const GAP = 34;
const MARGIN = 12;
const LONGEST = 22; // characters of a label

const FATES: Record<string, readonly [string, string]> = { // colour, and what it is called
  said: ["#0072b2", "said"],
  finished: ["#009e73", "finished"],
  pruned: ["#b98500", "pruned: others were better"],
  forbidden: ["#cc4fa0", "forbidden"],
  rejected: ["#d55e00", "rejected by the verifier"],
  removed: ["#d55e00", "removed by a filter"],
  "not taken": ["#7a7a7a", "not taken"],
  "": ["#56b4e9", "only led on"],
};

const percent = (logprob: number | null): string =>
  logprob === null ? "0 %" : Math.exp(logprob) < 0.0001 ? "< 0.01 %" : `${(100 * Math.exp(logprob)).toFixed(Math.exp(logprob) < 0.1 ? 2 : 1)} %`;

class TreeView {
  private readonly folded = new Set<number>();
  private readonly whole = new Set<number>(); // whose branches are all shown
  private placed: Placed[] = [];
  private lefts: number[] = []; // of the column of each depth
  private picked = 0;
  private readonly drawing = svg("svg", { role: "tree", "aria-label": "Tokens that were considered" });
  private readonly say: (text: string) => void;

  constructor(host: HTMLElement, private readonly data: TreeData) {
    this.start();
    host.append(h("style", {}, style));
    toolbar(host, button("unfold all", () => this.unfold()), button("as at first", () => this.refold()),
      h("span", { class: "quiet" }, "click or Enter folds; arrows walk"));
    host.append(h("div", { class: "tree" }, this.drawing));
    this.say = status(host);
    const columns = data.processed ? "Below each token: the model's own probability → after filters. " : "";
    host.append(this.legend(), h("p", { class: "quiet" }, `${columns}${data.says}`));
    this.drawing.addEventListener("click", (event) => this.clicked(event));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    this.draw();
    this.tell();
  }

  get state(): TreeState {
    const drawn = this.placed.map((placed) => ({
      node: placed.node, x: this.lefts[placed.depth]!, y: MARGIN + placed.line * LINE, fate: this.fate(placed.node),
    }));
    return { picked: this.picked, drawn };
  }

  /** Folded where the other forms of the view leave off. */
  private start(): void {
    const deep = (node: number): number => (this.data.parents[node]! < 0 ? 0 : deep(this.data.parents[node]!) + 1);
    this.data.children.forEach((_, node) => {
      if (deep(node) >= this.data.depth) this.folded.add(node);
    });
  }

  private shown(node: number): readonly number[] {
    const children = this.data.children[node]!;
    if (this.folded.has(node)) return [];
    return this.whole.has(node) ? children : children.slice(0, this.data.width);
  }

  private fate(node: number): string {
    return this.data.fates[node] ?? "";
  }

  private hidden(node: number): number {
    return this.data.children[node]!.length - this.shown(node).length;
  }

  private draw(): void {
    this.placed = tidy(0, (node) => this.shown(node));
    const widths: number[] = [];
    for (const { node, depth } of this.placed) widths[depth] = Math.max(widths[depth] ?? 0, this.width(node));
    this.lefts = [];
    widths.forEach((_, depth) => (this.lefts[depth] = depth ? this.lefts[depth - 1]! + widths[depth - 1]! + GAP : MARGIN));
    const at = new Map(this.placed.map((placed) => [placed.node, placed]));
    const lines = this.placed.filter(({ node }) => node > 0).map((placed) =>
      this.line(at.get(this.data.parents[placed.node]!)!, placed));
    const items = this.placed.map((placed) => this.item(placed));
    const depth = widths.length - 1;
    const bottom = Math.max(...this.placed.map(({ line }) => line));
    this.drawing.setAttribute("width", `${this.lefts[depth]! + widths[depth]! + MARGIN}`);
    this.drawing.setAttribute("height", `${bottom * LINE + BOX + 18 + 2 * MARGIN}`);
    this.drawing.replaceChildren(svg("g", { "aria-hidden": "true" }, ...lines), ...items);
  }

  private label(node: number): string {
    const label = this.data.labels[node] || "(start)";
    return label.length > LONGEST ? (node ? `${label.slice(0, LONGEST - 1)}…` : `…${label.slice(1 - LONGEST)}`) : label;
  }

  private width(node: number): number {
    return Math.max(this.box(node), this.told(node).length * 5.9);
  }

  private box(node: number): number {
    return this.label(node).length * CHARACTER + 14;
  }

  private told(node: number): string {
    const score = this.data.scores[node] ?? null;
    const more = this.hidden(node) ? `+${this.hidden(node)}` : "";
    if (!node) return more;
    const own = percent(this.data.logprobs[node]!), after = this.data.processed?.[node] ?? null;
    return [after === null ? own : `${own} → ${percent(after)}`, score === null ? "" : score.toFixed(2), more].filter(Boolean).join("  ");
  }

  private line(from: Placed, to: Placed): SVGElement {
    const x = this.lefts[from.depth]! + this.box(from.node), x2 = this.lefts[to.depth]!;
    const y = MARGIN + from.line * LINE + BOX / 2, y2 = MARGIN + to.line * LINE + BOX / 2;
    const turn = this.lefts[to.depth]! - GAP / 2;
    const way = this.fate(to.node) === "said" ? "way" : null;
    const d = y === y2 ? `M${x} ${y}H${x2}` : `M${x} ${y}H${turn - 8}Q${turn} ${y} ${turn} ${y + 8}V${y2 - 8}Q${turn} ${y2} ${turn + 8} ${y2}H${x2}`;
    return svg("path", { d, class: way });
  }

  private item({ node, depth, line }: Placed): SVGElement {
    const said = this.fate(node) === "said", siblings = this.data.children[this.data.parents[node] ?? -1];
    const open = this.data.children[node]!.length ? `${!this.folded.has(node)}` : null;
    const colour = node ? FATES[this.fate(node)]?.[0] ?? "#7a7a7a" : "#7a7a7a";
    return svg("g", {
      role: "treeitem", "aria-level": depth + 1, "aria-expanded": open, "data-node": node,
      "aria-setsize": siblings?.length ?? 1, "aria-posinset": (siblings?.indexOf(node) ?? 0) + 1,
      "aria-selected": `${node === this.picked}`, tabindex: node === this.picked ? 0 : -1,
      "aria-description": this.became(node), class: `${said ? "said" : ""} ${this.hidden(node) ? "folded" : ""}`.trim(),
      transform: `translate(${this.lefts[depth]} ${MARGIN + line * LINE})`, style: `--fate:${colour}`,
    }, svg("rect", { width: this.box(node), height: BOX, rx: 5 }),
      svg("text", { x: 7, y: 16.5 }, this.label(node)), " ", svg("text", { class: "told", x: 2, y: BOX + 13 }, this.told(node)));
  }

  private became(node: number): string | null {
    if (!node) return null;
    const remover = this.data.removers[node];
    return remover ? `removed by ${remover}` : FATES[this.fate(node)]?.[1] ?? this.fate(node);
  }

  private describe(node: number): string {
    if (!node) return `after ${this.data.labels[0] || "the start"}`;
    const score = this.data.scores[node] ?? null;
    const rest = this.hidden(node) ? `, ${this.hidden(node)} branches folded` : "";
    return `${this.data.labels[node]}, ${this.probability(node)}${score === null ? "" : `, score ${score.toFixed(3)}`}, ${this.became(node)}${rest}`;
  }

  private probability(node: number): string {
    const own = percent(this.data.logprobs[node]!), after = this.data.processed?.[node] ?? null;
    if (!this.data.processed) return own;
    return `model's own ${own}${after === null ? "" : `, after filters ${percent(after)}`}`;
  }

  private tell(): void {
    const way: string[] = [];
    for (let node = this.picked; node > 0; node = this.data.parents[node]!) way.unshift(this.data.labels[node]!);
    this.say(`${this.describe(this.picked)}${way.length > 1 ? `;  the way: ${way.join(" ")}` : ""}`);
  }

  private legend(): HTMLElement {
    const found = new Set(this.data.fates.slice(1).map((fate) => fate ?? ""));
    const known = Object.entries(FATES).filter(([fate]) => found.has(fate));
    return h("div", { class: "fates", "aria-label": "What became of them", role: "group" },
      ...known.map(([, [colour, name]]) => h("span", { style: `--fate:${colour}` }, name)));
  }

  private pick(node: number): void {
    this.picked = node;
    this.draw();
    this.drawing.querySelector<SVGGElement>(`[data-node="${node}"]`)!.focus();
    this.tell();
  }

  /** Fold what is open; of what is folded or cut, show all. */
  private toggle(node: number): void {
    if (this.hidden(node)) {
      if (!this.folded.delete(node)) this.whole.add(node);
    } else if (this.data.children[node]!.length) {
      this.folded.add(node);
      this.whole.delete(node);
    }
    this.pick(node);
  }

  private unfold(): void {
    this.folded.clear();
    this.data.children.forEach((_, node) => this.whole.add(node));
    this.draw();
  }

  private refold(): void {
    this.folded.clear();
    this.whole.clear();
    this.start();
    this.picked = 0;
    this.draw();
    this.tell();
  }

  private clicked(event: Event): void {
    const item = (event.target as Element).closest<SVGGElement>("[role=treeitem]");
    if (item) this.toggle(Number(item.dataset.node));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const at = this.placed.findIndex(({ node }) => node === this.picked);
    const walk: Record<string, () => number | undefined> = {
      ArrowDown: () => this.placed[at + 1]?.node,
      ArrowUp: () => this.placed[at - 1]?.node,
      ArrowRight: () => this.shown(this.picked)[0],
      ArrowLeft: () => this.data.parents[this.picked],
      Home: () => 0,
      End: () => this.placed.at(-1)?.node,
    };
    if (event.key === "Enter" || event.key === " ") this.toggle(this.picked);
    else if (event.key === "ArrowRight" && this.folded.has(this.picked) && this.hidden(this.picked)) this.toggle(this.picked);
    else if (walk[event.key]) {
      const to = walk[event.key]!();
      if (to !== undefined && to >= 0) this.pick(to);
    } else return;
    event.preventDefault();
  }
}

/** The figure `tree`. */
export function tree(host: HTMLElement, figure: Figure<TreeData>): () => TreeState {
  const view = new TreeView(host, figure.data);
  return () => view.state;
}
