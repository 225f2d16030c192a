/** One head's pattern as a matrix to move about in: a row for each token that looks, a column for
 * each that is looked at. */

import style from "./matrix.css";
import { type Attention } from "./attention.ts";
import { isDark } from "./colour.ts";
import { Surface } from "./canvas.ts";
import { button, status } from "./controls.ts";
import { h } from "./dom.ts";
import { Heatmap } from "./heatmap.ts";
import { shareLegend } from "./legend.ts";
import { percent } from "./numbers.ts";
import { Pyramid } from "./pyramid.ts";
import { Strongest, strongest } from "./strongest.ts";
import { Tooltip } from "./tooltip.ts";

const LEFT = 112, TOP = 84; // pixels for the tokens beside the matrix
const RIGHT = 40, BOTTOM = 8; // for what of them reaches over
const EXTENT = 560; // pixels a side, at most
const NAMED = 14; // pixels a token from which its text is beside it
const CLOSEST = 40; // pixels a token, at most

export interface MatrixState {
  readonly layer: number;
  readonly head: number;
  readonly row: number;
  readonly column: number;
  readonly weight: number;
  readonly scale: number;
  readonly left: number;
  readonly top: number;
  readonly complete: boolean;
  /** Where the matrix is on its canvas, in CSS pixels: `[x, y, side]`. */
  readonly place: readonly [number, number, number];
}

export class MatrixView {
  private heatmap!: Heatmap;
  private row: number;
  private column = 0;
  private weights!: Float32Array; // of the row
  private scale = 0; // pixels a token; 0 until the width is known
  private left = 0;
  private top = 0;
  private extent = 0;
  private readonly surface: Surface;
  private readonly place: HTMLElement;
  private readonly list: Strongest;
  private readonly tooltip: Tooltip;
  private readonly say: (text: string) => void;

  constructor(
    host: HTMLElement,
    private readonly attention: Attention,
    private layer = 0,
    private head = 0,
  ) {
    this.row = attention.rows - 1;
    this.place = h("div", {
      class: "matrix", tabindex: 0, role: "application", "aria-label": "Attention matrix. Arrow keys move"
        + " from cell to cell, with shift ten at once; plus and minus zoom; zero shows all.",
      keydown: (event: KeyboardEvent) => this.pressed(event),
    });
    const zoom = [button("+", () => this.zoom(1.6), "Zoom in"), button("−", () => this.zoom(1 / 1.6), "Zoom out"),
                  button("all", () => this.fit(), "Show all")];
    this.list = new Strongest(attention.tokens);
    const beside = h("div", { class: "beside" }, h("div", { class: "zoom" }, ...zoom, shareLegend()),
      h("p", { class: "quiet" }, "Click it, then the wheel or + − zooms; drag or arrows move."), this.list.element);
    host.append(h("style", {}, style), h("div", { class: "side-by-side" }, this.place, beside));
    this.say = status(host);
    this.tooltip = new Tooltip(host);
    this.surface = new Surface(this.place, "", (width) => this.measure(width), (context) => this.paint(context));
    this.surface.canvas.setAttribute("aria-hidden", "true"); // the status line and the table speak for it
    this.surface.canvas.removeAttribute("role");
    this.pointer();
    this.show(layer, head);
  }

  /** Show another head; counted as the attention lists them. */
  show(layer: number, head: number): void {
    [this.layer, this.head] = [layer, head];
    this.heatmap?.close();
    this.heatmap = new Heatmap(new Pyramid(this.attention, layer, head), () => this.surface.redraw());
    this.to(this.row, strongest(this.heatmap.pyramid.row(this.row))[0]!);
  }

  get state(): MatrixState {
    const { attention, row, column, scale, left, top } = this;
    return {
      layer: attention.layers[this.layer]!, head: attention.heads[this.head]!, row, column, scale, left, top,
      weight: this.weights[column] ?? 0, complete: this.heatmap.complete,
      place: [LEFT, TOP, this.extent],
    };
  }

  private get least(): number {
    return this.extent / this.attention.rows;
  }

  private measure(width: number): number {
    const extent = Math.min(width - LEFT - RIGHT, EXTENT), fitted = this.scale <= this.least;
    this.extent = Math.max(extent, 1);
    if (fitted) this.scale = Math.min(this.least, CLOSEST);
    return Math.min(this.extent, this.attention.rows * this.scale) + TOP + BOTTOM;
  }

  private fit(): void {
    this.scale = Math.min(this.least, CLOSEST);
    this.move(0, 0);
  }

  private zoom(factor: number, x = this.extent / 2, y = this.extent / 2): void {
    const scale = Math.min(Math.max(this.scale * factor, Math.min(this.least, CLOSEST)), CLOSEST);
    const left = this.left + x / this.scale - x / scale, top = this.top + y / this.scale - y / scale;
    this.scale = scale;
    this.move(left, top);
  }

  private move(left: number, top: number): void {
    const most = Math.max(0, this.attention.rows - this.extent / this.scale);
    this.left = Math.min(Math.max(left, 0), most);
    this.top = Math.min(Math.max(top, 0), most);
    this.surface.redraw();
  }

  /** Choose a cell; a column that its row may not look at is moved to the diagonal. */
  private to(row: number, column: number): void {
    const last = this.attention.rows - 1;
    this.row = Math.min(Math.max(row, 0), last);
    this.column = Math.min(Math.max(column, 0), this.row);
    this.weights = this.heatmap.pyramid.row(this.row);
    this.tell();
    this.surface.redraw();
  }

  private follow(): void {
    const seen = this.extent / this.scale;
    const into = (at: number, from: number): number => Math.min(Math.max(from, at + 1 - seen), at);
    this.move(into(this.column, this.left), into(this.row, this.top));
  }

  private tell(): void {
    const { layers, heads } = this.attention;
    this.list.show(this.row, this.weights, this.column);
    this.say(`Layer ${layers[this.layer]}, head ${heads[this.head]}: ${this.cell(this.row, this.column, this.weights)}`);
  }

  private cell(row: number, column: number, weights: Float32Array): string {
    const { tokens } = this.attention;
    return `${row} ${tokens[row]} → ${column} ${tokens[column]}  ${percent(weights[column]!)}`;
  }

  private pressed(event: KeyboardEvent): void {
    const step = event.shiftKey ? 10 : 1, { row, column } = this;
    const acts: Record<string, () => void> = {
      ArrowUp: () => this.to(row - step, column), ArrowDown: () => this.to(row + step, column),
      ArrowLeft: () => this.to(row, column - step), ArrowRight: () => this.to(row, column + step),
      "+": () => this.zoom(1.6), "=": () => this.zoom(1.6), "-": () => this.zoom(1 / 1.6), 0: () => this.fit(),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    if (event.key.startsWith("Arrow")) this.follow();
  }

  private pointer(): void {
    const { canvas } = this.surface;
    let last: PointerEvent | null = null, moved = false;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      [last, moved] = [event, false];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (last) {
        const dx = event.offsetX - last.offsetX, dy = event.offsetY - last.offsetY;
        moved ||= Math.hypot(dx, dy) > 3;
        if (!moved) return;
        this.move(this.left - dx / this.scale, this.top - dy / this.scale);
        last = event;
      }
      this.hover(event);
    });
    canvas.addEventListener("pointerup", (event) => {
      const cell = this.at(event);
      if (last && !moved && cell) this.to(...cell);
      last = null;
    });
    canvas.addEventListener("pointercancel", () => (last = null));
    canvas.addEventListener("pointerleave", () => this.tooltip.hide());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** The wheel zooms where the matrix has the focus; elsewhere it scrolls the page. */
  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey && document.activeElement !== this.place) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), event.offsetX - LEFT, event.offsetY - TOP);
  }

  private at(event: PointerEvent): [number, number] | null {
    const column = Math.floor(this.left + (event.offsetX - LEFT) / this.scale);
    const row = Math.floor(this.top + (event.offsetY - TOP) / this.scale);
    const inside = event.offsetX >= LEFT && event.offsetY >= TOP;
    return inside && column <= row && row < this.attention.rows ? [row, column] : null;
  }

  private hover(event: PointerEvent): void {
    const cell = this.at(event);
    if (!cell) return this.tooltip.hide();
    const [row, column] = cell;
    const weights = row === this.row ? this.weights : this.heatmap.pyramid.row(row);
    this.tooltip.show(this.cell(row, column, weights), event.clientX, event.clientY);
  }

  private paint(context: CanvasRenderingContext2D): void {
    const { scale, left, top, attention: { rows } } = this;
    const extent = Math.min(this.extent, rows * scale), dark = isDark(this.place);
    const text = getComputedStyle(this.place).color;
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP, extent, extent);
    context.clip();
    context.translate(LEFT, TOP);
    this.heatmap.paint(context, { scale, left, top, extent }, dark);
    context.restore();
    context.translate(LEFT, TOP);
    this.frame(context, extent, text);
    this.cross(context, extent, dark);
    this.names(context, extent, text);
  }

  private frame(context: CanvasRenderingContext2D, extent: number, text: string): void {
    context.strokeStyle = text;
    context.globalAlpha = 0.35;
    context.strokeRect(0.5, 0.5, extent - 1, extent - 1);
    context.globalAlpha = 1;
  }

  /** The cell that is chosen: a ring, and ticks that lead to it from the names. */
  private cross(context: CanvasRenderingContext2D, extent: number, dark: boolean): void {
    const edge = Math.max(this.scale, 6);
    const middle = (at: number, from: number): number => (at + 0.5 - from) * this.scale;
    const x = middle(this.column, this.left), y = middle(this.row, this.top);
    const inside = (at: number): boolean => at >= 0 && at <= extent;
    context.strokeStyle = dark ? "#ffb000" : "#c24e00";
    context.lineWidth = 2;
    context.beginPath();
    if (inside(x) && inside(y)) context.rect(x - edge / 2, y - edge / 2, edge, edge);
    if (inside(y)) line(context, -6, y, 0, y);
    if (inside(x)) line(context, x, -6, x, 0);
    context.stroke();
    context.lineWidth = 1;
  }

  private names(context: CanvasRenderingContext2D, extent: number, text: string): void {
    context.fillStyle = text;
    context.font = "12px ui-monospace, Menlo, Consolas, monospace";
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [at, y] of this.named(this.top, extent, this.row)) context.fillText(this.label(at), -9, y);
    context.textAlign = "left";
    for (const [at, x] of this.named(this.left, extent, this.column)) {
      context.save();
      context.translate(x, -9);
      context.rotate(-Math.PI / 3);
      context.fillText(this.label(at), 0, 0);
      context.restore();
    }
  }

  /** The tokens that have their names at an edge: all from a size on; else some, and `chosen`. */
  private *named(from: number, extent: number, chosen: number): Generator<[number, number]> {
    const { scale, attention: { rows } } = this;
    const step = scale >= NAMED ? 1 : niceStep(70 / scale);
    const place = (at: number): number => (at + 0.5 - from) * scale;
    for (let at = Math.ceil(from / step) * step; at < rows && place(at) <= extent; at += step) {
      if (place(at) >= 0 && (step === 1 || Math.abs(place(at) - place(chosen)) > 16)) yield [at, place(at)];
    }
    if (step > 1 && place(chosen) >= 0 && place(chosen) <= extent) yield [chosen, place(chosen)];
  }

  private label(at: number): string {
    const whole = this.scale >= NAMED ? this.attention.tokens[at]! : `${at} ${this.attention.tokens[at]}`;
    const letters = [...whole];
    return letters.length > 13 ? `${letters.slice(0, 12).join("")}…` : whole;
  }
}

function line(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((n) => n * power >= least) ?? 10);
}
