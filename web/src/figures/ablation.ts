/** What becomes of a token when a head or an MLP is taken out: all of them at a glance. */

import grid from "../grid.css";
import style from "./ablation.css";
import { isDark, onTheme, signedColour } from "../colour.ts";
import { status } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { type Cell, GridView } from "../grid.ts";
import { percent, signed } from "../numbers.ts";

const SHOWN = 40; // layers at once
const LISTED = 10;
const DEEPEST = 2; // of a log-probability: an eighth of the probability is left

interface Data {
  readonly says: string;
  readonly tokens: readonly string[];
  readonly layers: number;
  readonly heads: number;
  readonly logprob: number;
  readonly logit: number;
  readonly changes: Tensor; // [layers, heads + 1], of the log-probability; the MLP last
  readonly logits: Tensor;
}

export interface AblationState {
  readonly layer: number;
  readonly part: string;
  readonly change: number;
  readonly leading: readonly string[];
}

class AblationView {
  private readonly grid: GridView;
  private readonly say: (text: string) => void;
  private readonly order: number[];

  constructor(private readonly host: HTMLElement, private readonly data: Data) {
    const { heads, layers, changes } = data;
    this.order = [...changes.values.keys()].sort((a, b) => Math.abs(changes.values[b]!) - Math.abs(changes.values[a]!));
    host.append(h("style", {}, grid + style), h("p", { class: "quiet" }, data.says));
    this.say = status(host);
    const lead = this.order[0]!, width = heads + 1;
    this.grid = new GridView({
      name: "Heads and MLPs, by layer", corner: "part",
      rows: Array.from({ length: width }, (_, i) => this.part(i)),
      columns: Array.from({ length: layers }, (_, i) => `${i}`), shown: SHOWN,
      cell: (row, layer) => this.cell(row, layer),
      picked: (row, layer) => this.say(this.told(row, layer)),
      hovered: (at) => this.say(at ? this.told(...at) : this.told(this.grid.row, this.grid.column)),
    }, lead % width, Math.floor(lead / width));
    this.grid.element.classList.add("square");
    host.append(h("div", { class: "ablation" },
      h("div", { class: "scroll" }, h("div", {}, h("p", { class: "axis" }, "layer"), this.grid.element)), this.list()));
    const redraw = (): void => void requestAnimationFrame(() => this.grid.redraw());
    onTheme(redraw);
    redraw();
    this.say(this.told(this.grid.row, this.grid.column));
  }

  get state(): AblationState {
    const { row, column } = this.grid;
    return { layer: column, part: this.part(row), change: this.change(row, column), leading: this.leading() };
  }

  private part(row: number): string {
    return row === this.data.heads ? "MLP" : `head ${row}`;
  }

  private change(row: number, layer: number): number {
    return this.data.changes.values[layer * (this.data.heads + 1) + row]!;
  }

  private cell(row: number, layer: number): Cell {
    const change = this.change(row, layer);
    // Its square root, as one part is often worth ten times what the next one is.
    const strength = Math.sign(change) * Math.sqrt(Math.abs(change) / DEEPEST);
    return { text: "", colour: signedColour(strength, isDark(this.host)), label: this.told(row, layer) };
  }

  private told(row: number, layer: number): string {
    const change = this.change(row, layer), { logprob, logits, heads } = this.data;
    const logit = logits.values[layer * (heads + 1) + row]!;
    return `Without ${this.part(row)} of layer ${layer}: probability ${percent(Math.exp(logprob + change))} ` +
      `instead of ${percent(Math.exp(logprob))}, its logit changes by ${signed(logit, 2)}`;
  }

  private leading(): string[] {
    const width = this.data.heads + 1;
    return this.order.slice(0, LISTED).map((at) => `layer ${Math.floor(at / width)} ${this.part(at % width)}`);
  }

  private list(): HTMLElement {
    const rows = this.leading().map((name, i) => h("tr", {}, h("td", {}, name),
      h("td", { class: "n" }, percent(Math.exp(this.data.logprob + this.data.changes.values[this.order[i]!]!)))));
    return h("table", { class: "leading" }, h("caption", {}, "Largest changes: the probability without"), h("tbody", {}, ...rows));
  }
}

/** The figure `ablation`. */
export function ablation(host: HTMLElement, figure: Figure<Data>): () => AblationState {
  const view = new AblationView(host, figure.data);
  return () => view.state;
}
