/** A grid of cells of which one is picked, by click or by arrows; so wide that only some columns are
 * there at once: they move along with the picked one. A figure adds grid.css. */

import { h } from "./dom.ts";

const STEPS: Record<string, readonly [number, number]> = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
};

export interface Cell {
  readonly text: string;
  readonly colour: string;
  /** What a screen reader says of it. */
  readonly label: string;
}

export interface Grid {
  readonly name: string;
  readonly corner: string;
  readonly rows: readonly string[]; // from above
  readonly columns: readonly string[];
  readonly shown: number; // columns at once
  cell(row: number, column: number): Cell;
  picked(row: number, column: number): void;
  /** The cell under the pointer, or null when it leaves. */
  hovered(at: readonly [number, number] | null, event?: PointerEvent): void;
}

export class GridView {
  readonly element: HTMLElement;
  private first = 0; // column that is shown
  private cells: HTMLElement[][] = [];

  constructor(private readonly grid: Grid, public row: number, public column: number) {
    this.element = h("div", { class: "cells", role: "grid", "aria-label": grid.name,
                              "aria-rowcount": grid.rows.length + 1, "aria-colcount": grid.columns.length + 1 });
    this.element.style.setProperty("--columns", `${this.count}`);
    this.element.addEventListener("click", (event) => this.onCell(event, (at) => this.pick(...at)));
    this.element.addEventListener("pointerover", (event) =>
      this.onCell(event, (at) => grid.hovered(at, event)));
    this.element.addEventListener("pointerleave", () => grid.hovered(null));
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.redraw();
  }

  private get count(): number {
    return Math.min(this.grid.shown, this.grid.columns.length);
  }

  /** Draw all cells anew: their colours or texts have changed. */
  redraw(): void {
    const last = this.grid.columns.length - this.count;
    if (this.column < this.first || this.column >= this.first + this.count) {
      this.first = Math.min(Math.max(0, this.column - (this.count >> 1)), last);
    }
    const columns = Array.from({ length: this.count }, (_, i) => this.first + i);
    const header = h("div", { role: "row" }, h("span", { role: "columnheader" }, this.grid.corner),
      ...columns.map((i) => h("span", { role: "columnheader", title: this.grid.columns[i] },
        h("bdi", {}, this.grid.columns[i]!))));
    this.cells = this.grid.rows.map((_, row) => columns.map((column) => this.made(row, column)));
    const rows = this.cells.map((cells, row) =>
      h("div", { role: "row" }, h("span", { role: "rowheader" }, this.grid.rows[row]!), ...cells));
    this.element.replaceChildren(header, ...rows);
  }

  /** Go to a column, wherever the keyboard is. */
  to(column: number): void {
    this.mark(false);
    this.column = column;
    this.redraw();
    this.grid.picked(this.row, column);
  }

  private made(row: number, column: number): HTMLElement {
    const { text, colour, label } = this.grid.cell(row, column);
    const picked = row === this.row && column === this.column;
    const made = h("span", { role: "gridcell", "aria-label": label, "aria-selected": `${picked}`,
                             "aria-colindex": column + 2, tabindex: picked ? 0 : -1 },
      h("bdi", {}, text));
    made.style.background = colour;
    return made;
  }

  private onCell(event: Event, then: (at: [number, number]) => void): void {
    const found = (event.target as Element).closest<HTMLElement>("[role=gridcell]");
    const row = found ? this.cells.findIndex((cells) => cells.includes(found)) : -1;
    if (row >= 0) then([row, this.first + this.cells[row]!.indexOf(found!)]);
  }

  private key(event: KeyboardEvent): void {
    const { rows, columns } = this.grid;
    const ends: Record<string, number> = { Home: 0, End: columns.length - 1 };
    const step = STEPS[event.key], end = ends[event.key];
    if ((!step && end === undefined) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const [down, across] = step ?? [0, end! - this.column];
    this.pick(clamp(this.row + down, rows.length), clamp(this.column + across, columns.length));
  }

  private pick(row: number, column: number): void {
    this.mark(false);
    Object.assign(this, { row, column });
    if (column < this.first || column >= this.first + this.count) this.redraw();
    this.mark(true);
    this.at()?.focus();
    this.grid.picked(row, column);
  }

  private at(): HTMLElement | undefined {
    return this.cells[this.row]?.[this.column - this.first];
  }

  private mark(on: boolean): void {
    this.at()?.setAttribute("aria-selected", `${on}`);
    this.at()?.setAttribute("tabindex", on ? "0" : "-1");
  }
}

function clamp(at: number, count: number): number {
  return Math.min(Math.max(at, 0), count - 1);
}
