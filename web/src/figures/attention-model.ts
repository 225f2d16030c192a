/** All heads of all layers at a glance; the one that is picked, larger below. */

import style from "./attention-model.css";
import { Attention, type AttentionData } from "../attention.ts";
import { isDark, onTheme, shareImage } from "../colour.ts";
import { h } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { type MatrixState, MatrixView } from "../matrix.ts";
import { inSlices } from "../slices.ts";
import { type Thumbnail, thumbnail } from "../thumbnail.ts";
import { Tooltip } from "../tooltip.ts";

const LEAST = 24, MOST = 96; // texels a side of a square

export interface ModelState {
  readonly picked: { readonly layer: number; readonly head: number };
  readonly drawn: number; // thumbnails so far
  readonly matrix: MatrixState;
}

class ModelView {
  private layer = 0;
  private head = 0;
  private drawn = 0;
  private readonly attention: Attention;
  private readonly cells: HTMLElement[][]; // [layers][heads]
  private readonly wide: boolean; // layers go across
  private readonly thumbnails = new Map<HTMLElement, Thumbnail>();
  private readonly matrix: MatrixView;
  private readonly tooltip: Tooltip;
  private readonly grid: HTMLElement;

  constructor(private readonly host: HTMLElement, data: AttentionData) {
    this.attention = new Attention(data);
    const { layers, heads } = this.attention;
    this.cells = layers.map((_, layer) => heads.map((_, head) => this.cell(layer, head)));
    // The longer way goes across: a screen is wider than high.
    this.wide = layers.length >= heads.length;
    this.grid = this.wide ? grid("head", heads, layers, transposed(this.cells)) : grid("layer", layers, heads, this.cells);
    this.events();
    host.append(h("p", { class: "quiet over-heads" }, this.wide ? "layer →" : "head →"), this.grid);
    host.append(h("style", {}, style));
    this.tooltip = new Tooltip(host);
    this.matrix = new MatrixView(host, this.attention);
    this.mark(0, 0);
    inSlices(this.work());
    onTheme(() => this.recolour());
  }

  get state(): ModelState {
    const { layers, heads } = this.attention;
    const picked = { layer: layers[this.layer]!, head: heads[this.head]! };
    return { picked, drawn: this.drawn, matrix: this.matrix.state };
  }

  private cell(layer: number, head: number): HTMLElement {
    const { layers, heads } = this.attention;
    const canvas = h("canvas", { "aria-hidden": "true" });
    return h("span", { role: "gridcell", tabindex: -1, "data-layer": layer, "data-head": head,
                       "aria-label": `Layer ${layers[layer]}, head ${heads[head]}` }, canvas);
  }

  private events(): void {
    const of = (event: Event): HTMLElement | null => (event.target as Element).closest("[role=gridcell]");
    const place = (cell: HTMLElement): [number, number] => [Number(cell.dataset.layer), Number(cell.dataset.head)];
    this.grid.addEventListener("click", (event) => {
      const cell = of(event);
      if (cell) this.pick(...place(cell));
    });
    this.grid.addEventListener("pointermove", (event) => {
      const cell = of(event);
      if (cell) this.tooltip.show(cell.getAttribute("aria-label")!, event.clientX, event.clientY);
      else this.tooltip.hide();
    });
    this.grid.addEventListener("pointerleave", () => this.tooltip.hide());
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
  }

  private pressed(event: KeyboardEvent): void {
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const step = steps[event.key];
    if (!step) return;
    if (!this.wide) step.reverse();
    event.preventDefault();
    const within = (at: number, count: number): number => Math.min(Math.max(at, 0), count - 1);
    this.pick(within(this.layer + step[0], this.attention.layers.length),
              within(this.head + step[1], this.attention.heads.length));
    this.cells[this.layer]![this.head]!.focus();
  }

  private pick(layer: number, head: number): void {
    this.mark(layer, head);
    this.matrix.show(layer, head);
  }

  private mark(layer: number, head: number): void {
    const set = (picked: boolean): void => {
      const cell = this.cells[this.layer]![this.head]!;
      cell.setAttribute("aria-selected", `${picked}`);
      cell.tabIndex = picked ? 0 : -1;
    };
    set(false);
    [this.layer, this.head] = [layer, head];
    set(true);
  }

  private *work(): Generator<void> {
    for (const cell of this.cells.flat()) { // layer by layer: its rows are unpacked once
      // As many texels as the screen has for it: scaling would dim lines, or break them up.
      const seen = Math.round(cell.clientWidth * (devicePixelRatio || 1)), most = Math.min(Math.max(seen, LEAST), MOST);
      const made = yield* thumbnail(this.attention, Number(cell.dataset.layer), Number(cell.dataset.head), most);
      this.thumbnails.set(cell, made);
      cell.setAttribute("aria-label", `${cell.getAttribute("aria-label")}: ${told(made)}`);
      this.colour(cell, made);
      this.drawn += 1;
    }
  }

  private colour(cell: HTMLElement, { texels, size }: Thumbnail): void {
    const canvas = cell.querySelector("canvas")!;
    Object.assign(canvas, { width: size, height: size });
    canvas.style.imageRendering = size < canvas.clientWidth ? "pixelated" : "auto";
    canvas.getContext("2d")!.putImageData(shareImage(texels, size, isDark(this.host)), 0, 0);
  }

  private recolour(): void {
    for (const [cell, made] of this.thumbnails) this.colour(cell, made);
  }
}

/** Cells in rows under numbers. */
function grid(corner: string, down: readonly number[], across: readonly number[], cells: HTMLElement[][]): HTMLElement {
  const top = h("div", { role: "row" }, h("span", { role: "columnheader" }, corner),
    ...across.map((number) => h("span", { role: "columnheader" }, `${number}`)));
  const rows = cells.map((row, at) =>
    h("div", { role: "row" }, h("span", { role: "rowheader" }, `${down[at]}`), ...row));
  return h("div", { class: "all-heads", role: "grid", "aria-label": "Heads and layers",
                    style: `--across:${across.length}` }, top, ...rows);
}

function transposed<T>(rows: T[][]): T[][] {
  return rows[0]!.map((_, i) => rows.map((row) => row[i]!));
}

function told({ first, previous, itself }: Thumbnail): string {
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  return `first token ${percent(first)}, previous ${percent(previous)}, itself ${percent(itself)}`;
}

/** The figure `attention-model`. */
export function attentionModel(host: HTMLElement, figure: Figure<AttentionData>): () => ModelState {
  const view = new ModelView(host, figure.data);
  return () => view.state;
}
