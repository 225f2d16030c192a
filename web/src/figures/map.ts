/** Tokens on a plane: those of the text, and beside each its nearest neighbours. */

import style from "./map.css";
import { distinct } from "../colour.ts";
import { button, status, toolbar } from "../controls.ts";
import { h, svg } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";

export interface MapData {
  readonly labels: readonly string[];
  readonly ids: Tensor<Int32Array>;
  readonly owners: Tensor<Int32Array>; // the place of the token that a neighbour belongs to, or -1
  readonly xy: Tensor; // [n, 2]
  readonly explained: Tensor; // [2]
  readonly says: string;
}

export interface MapState {
  readonly picked: number;
  readonly zoom: number;
  readonly points: readonly { x: number; y: number; filled: boolean }[]; // in pixels of the drawing
  readonly labelled: readonly number[];
}

const HEIGHT = 560;
const MARGIN = 60;
const CHARACTER = 8; // pixels of a label's letter, at most
const MOST_ZOOM = 60;
const DIRECTIONS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

interface Box { readonly x: number; readonly y: number; readonly width: number }

// Where a label may stand, from its point: beside, then above and below it.
const SIDES = [[11, 0, "start"], [-11, 0, "end"], [0, -16, "middle"], [0, 17, "middle"]] as const;

const apart = (a: Box, b: Box): boolean =>
  a.x + a.width < b.x || b.x + b.width < a.x || Math.abs(a.y - b.y) > 15;

class MapView {
  private readonly points: SVGGElement[];
  private readonly links = svg("g", { "aria-hidden": "true" });
  private readonly plane: SVGSVGElement;
  private readonly say: (text: string) => void;
  private width = 960;
  private zoom = 1;
  private shift: readonly [number, number] = [0, 0]; // pixels
  private picked = 0;
  private hovered: number | null = null;
  private labelled: number[] = [];
  private readonly middle: readonly [number, number];
  private readonly span: readonly [number, number];

  constructor(host: HTMLElement, private readonly data: MapData) {
    const across = (axis: number): number[] => data.labels.map((_, i) => data.xy.values[2 * i + axis]!);
    const ends = [0, 1].map((axis) => [Math.min(...across(axis)), Math.max(...across(axis))] as const);
    this.middle = [(ends[0]![0] + ends[0]![1]) / 2, (ends[1]![0] + ends[1]![1]) / 2];
    this.span = [ends[0]![1] - ends[0]![0] || 1, ends[1]![1] - ends[1]![0] || 1];
    this.points = data.labels.map((label, i) => this.point(label, i));
    const names = data.explained.values;
    this.plane = svg("svg", { class: "map", role: "group", "aria-label": "Map" }, this.links,
      svg("g", { role: "listbox", "aria-label": "Tokens on the map" }, ...this.points),
      svg("text", { class: "axis-name", x: 12, y: HEIGHT - 12 }, `→ ${percent(names[0]!)} of what sets them apart`),
      svg("text", { class: "axis-name", x: 12, y: 20 }, `↑ ${percent(names[1]!)} of it`));
    host.append(h("style", {}, style));
    toolbar(host, button("+", () => this.scale(1.5), "Zoom in"), button("−", () => this.scale(1 / 1.5), "Zoom out"),
      button("whole map", () => this.reset()), h("span", { class: "quiet" }, "wheel and drag, or arrows from token to token"));
    host.append(this.plane);
    this.say = status(host);
    host.append(h("p", {}, data.says));
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.plane);
    this.draw();
    this.tell(0);
  }

  get state(): MapState {
    const points = this.data.labels.map((_, i) => {
      const [x, y] = this.place(i);
      return { x, y, filled: this.points[i]!.firstElementChild!.getAttribute("fill") !== "Canvas" };
    });
    return { picked: this.picked, zoom: this.zoom, points, labelled: this.labelled };
  }

  private owner(i: number): number {
    const owner = this.data.owners.values[i]!;
    return owner < 0 ? i : owner;
  }

  private point(label: string, i: number): SVGGElement {
    const own = this.owner(i) === i, colour = distinct(this.owner(i));
    const near = own ? "" : `, near ${this.data.labels[this.owner(i)]}`;
    return svg("g", {
      class: own ? "own" : "near", role: "option", tabindex: i === 0 ? 0 : -1, "aria-selected": `${i === 0}`,
      "aria-label": `${label}${near}`,
    }, svg("circle", { r: own ? 7 : 5, fill: own ? colour : "Canvas", stroke: colour, "stroke-width": 2.5 }),
      svg("text", { x: 11, y: 4.5, "aria-hidden": "true" }, label));
  }

  /** Pixels of the drawing; both directions have the same scale, so that distances compare. */
  private place(i: number): [number, number] {
    const unit = Math.min((this.width - 3 * MARGIN) / this.span[0], (HEIGHT - 2 * MARGIN) / this.span[1]) * this.zoom;
    const x = (this.data.xy.values[2 * i]! - this.middle[0]) * unit + this.width / 2 - MARGIN / 2;
    const y = HEIGHT / 2 - (this.data.xy.values[2 * i + 1]! - this.middle[1]) * unit;
    return [x + this.shift[0], y + this.shift[1]];
  }

  private draw(): void {
    this.width = this.plane.clientWidth || this.width;
    this.points.forEach((point, i) => {
      const [x, y] = this.place(i);
      point.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
    });
    this.label();
    this.connect();
  }

  /** Labels that overlap none that matters more: that of the token that is looked at, then the
   * text's own, which may stand over neighbours' points, then the neighbours'. */
  private label(): void {
    const dots = this.data.labels.map((_, i) => {
      const [x, y] = this.place(i);
      return { x: x - 6, y, width: 12 };
    });
    const taken: Box[] = [], shown = new Set<number>();
    for (const i of [this.hovered ?? this.picked, ...this.data.labels.keys()]) {
      if (shown.has(i)) continue;
      const own = this.owner(i) === i;
      const avoid = [...taken, ...dots.filter((_, j) => j !== i && !(own && this.owner(j) !== j))];
      const side = SIDES.find((each) => avoid.every((other) => apart(this.box(i, each), other)));
      if (!side) continue;
      taken.push(this.box(i, side));
      shown.add(i);
      const [x, y, anchor] = side, text = this.points[i]!.lastElementChild!;
      Object.entries({ x, y: y + 4.5, "text-anchor": anchor }).forEach(([name, value]) => text.setAttribute(name, `${value}`));
    }
    this.labelled = [...shown].sort((a, b) => a - b);
    this.points.forEach((point, i) => point.lastElementChild!.setAttribute("visibility", shown.has(i) ? "visible" : "hidden"));
  }

  private box(i: number, [dx, dy, anchor]: (typeof SIDES)[number]): Box {
    const [x, y] = this.place(i), width = CHARACTER * this.data.labels[i]!.length;
    return { x: x + dx - { start: 0, middle: width / 2, end: width }[anchor], y: y + dy, width };
  }

  /** Lines from the token that is looked at to its neighbours; the others step back. */
  private connect(): void {
    const owner = this.owner(this.hovered ?? this.picked);
    const family = [...this.data.labels.keys()].filter((i) => this.owner(i) === owner);
    const [x, y] = this.place(owner);
    this.links.replaceChildren(...family.filter((i) => i !== owner).map((i) => {
      const [x2, y2] = this.place(i);
      return svg("line", { x1: x, y1: y, x2, y2, stroke: distinct(owner) });
    }));
    const active = this.hovered !== null;
    this.points.forEach((point, i) => point.classList.toggle("faint", active && this.owner(i) !== owner));
  }

  private tell(i: number): void {
    const { labels, xy, ids } = this.data, owner = this.owner(i);
    const near = [...labels.keys()].filter((j) => this.owner(j) === owner && j !== i).map((j) => labels[j]);
    const beside = near.length ? `; beside it: ${near.slice(0, 12).join("  ")}` : "";
    this.say(`${labels[i]}  (id ${ids.values[i]})  at ${xy.values[2 * i]!.toFixed(2)}, ${xy.values[2 * i + 1]!.toFixed(2)}${beside}`);
  }

  private pick(i: number, focus: boolean): void {
    this.points[this.picked]!.setAttribute("tabindex", "-1");
    this.points[this.picked]!.setAttribute("aria-selected", "false");
    this.picked = i;
    this.points[i]!.setAttribute("tabindex", "0");
    this.points[i]!.setAttribute("aria-selected", "true");
    const [x, y] = this.place(i);
    if (x < 0 || y < 0 || x > this.width || y > HEIGHT) {
      this.shift = [this.shift[0] + this.width / 2 - x, this.shift[1] + HEIGHT / 2 - y];
    }
    if (focus) this.points[i]!.focus({ preventScroll: true });
    this.draw();
    this.tell(i);
  }

  private scale(by: number, x = this.width / 2, y = HEIGHT / 2): void {
    const zoom = Math.min(Math.max(this.zoom * by, 0.5), MOST_ZOOM), real = zoom / this.zoom;
    const centre = [this.width / 2 - MARGIN / 2, HEIGHT / 2] as const;
    this.shift = [x - centre[0] - (x - centre[0] - this.shift[0]) * real, y - centre[1] - (y - centre[1] - this.shift[1]) * real];
    this.zoom = zoom;
    this.draw();
  }

  private reset(): void {
    this.zoom = 1;
    this.shift = [0, 0];
    this.draw();
  }

  private listen(): void {
    const of = (event: Event): number =>
      this.points.indexOf((event.target as Element).closest<SVGGElement>("[role=option]")!);
    this.plane.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { left, top } = this.plane.getBoundingClientRect();
      this.scale(Math.exp(-event.deltaY / 400), event.clientX - left, event.clientY - top);
    }, { passive: false });
    this.plane.addEventListener("pointermove", (event) => this.moved(event, of(event)));
    this.plane.addEventListener("pointerleave", () => this.hover(null));
    this.plane.addEventListener("click", (event) => of(event) >= 0 && this.pick(of(event), true));
    this.plane.addEventListener("keydown", (event) => this.key(event));
  }

  private moved(event: PointerEvent, at: number): void {
    if (event.buttons & 1) {
      this.shift = [this.shift[0] + event.movementX, this.shift[1] + event.movementY];
      this.draw();
    } else this.hover(at < 0 ? null : at);
  }

  private hover(at: number | null): void {
    if (at === this.hovered) return;
    this.hovered = at;
    this.label();
    this.connect();
    this.tell(at ?? this.picked);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") this.scale(1.5);
    else if (event.key === "-") this.scale(1 / 1.5);
    else if (event.key === "0") this.reset();
    else if (DIRECTIONS[event.key]) this.pick(this.towards(DIRECTIONS[event.key]!), true);
    else return;
    event.preventDefault();
  }

  /** The nearest token in a direction, within 60 degrees of it; this one if there is none. */
  private towards([dx, dy]: readonly [number, number]): number {
    const [x, y] = this.place(this.picked);
    let best = this.picked, least = Infinity;
    this.data.labels.forEach((_, i) => {
      const [x2, y2] = this.place(i), along = (x2 - x) * dx + (y2 - y) * dy, far = Math.hypot(x2 - x, y2 - y);
      if (i === this.picked || along <= 0 || along < far / 2 || far >= least) return;
      [best, least] = [i, far];
    });
    return best;
  }
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** The figure `map`. */
export function map(host: HTMLElement, figure: Figure<MapData>): () => MapState {
  const view = new MapView(host, figure.data);
  return () => view.state;
}
