/** A pyramid as pictures: the overview while it fills, and tiles as they come. */

import { type Pyramid, TILE } from "./pyramid.ts";
import { shareImage } from "./colour.ts";
import { h } from "./dom.ts";
import { inSlices } from "./slices.ts";

const KEPT = 160; // tiles of 256 KiB
const FRESH_MS = 80; // how often the overview is shown while it fills

interface Wanted {
  readonly level: number;
  readonly down: number;
  readonly across: number;
}

/** Where the picture is: css pixels a token, and the tokens at the left and upper edge. */
export interface Place {
  readonly scale: number;
  readonly left: number;
  readonly top: number;
  readonly extent: number; // css pixels a side
}

export class Heatmap {
  private readonly tiles = new Map<string, HTMLCanvasElement>();
  private readonly whole: HTMLCanvasElement;
  private wanted: Wanted[] = [];
  private surveyed = false;
  private running = false;
  private stop = (): void => undefined;
  private dark = false;

  constructor(readonly pyramid: Pyramid, private readonly changed: () => void) {
    this.whole = h("canvas", { width: pyramid.size, height: pyramid.size });
    this.run();
  }

  /** Nothing more to be computed of what was last painted. */
  get complete(): boolean {
    return this.surveyed && !this.running;
  }

  /** Compute no more. */
  close(): void {
    this.stop();
  }

  /** Paint what there is of a place; what is missing is computed, and `changed` called. */
  paint(context: CanvasRenderingContext2D, place: Place, dark: boolean): void {
    if (dark !== this.dark) this.recolour(dark);
    const { scale, left, top } = place, { level, size } = this.pyramid;
    context.imageSmoothingEnabled = false;
    const wanted = this.inView(place), ready = wanted.map((tile) => this.tiles.get(name(tile)));
    if (!wanted.length || ready.includes(undefined)) {
      const edge = size * scale * 2 ** level;
      context.drawImage(this.whole, -left * scale, -top * scale, edge, edge);
    }
    wanted.forEach(({ level, down, across }, i) => {
      if (!ready[i]) return;
      const edge = (TILE << level) * scale, x = across * edge - left * scale, y = down * edge - top * scale;
      context.clearRect(x, y, edge, edge);
      context.drawImage(ready[i], x, y, edge, edge);
    });
    this.wanted = wanted.filter((_, i) => !ready[i]);
    if (this.wanted.length && !this.running) this.run();
  }

  /** The tiles of a place, those of its middle first; none where the overview says as much. */
  private inView({ scale, left, top, extent }: Place): Wanted[] {
    const level = Math.max(0, Math.ceil(-Math.log2(scale * (devicePixelRatio || 1))));
    if (level >= this.pyramid.level) return [];
    const edge = TILE << level, seen = extent / scale, tiles: Wanted[] = [];
    const last = Math.ceil((this.pyramid.size << this.pyramid.level) / edge) - 1;
    for (let down = Math.floor(top / edge); down <= Math.min((top + seen) / edge, last); down++) {
      // Above the diagonal there is nothing to see.
      for (let across = Math.floor(left / edge); across <= Math.min((left + seen) / edge, down); across++) {
        tiles.push({ level, down, across });
      }
    }
    const off = ({ down, across }: Wanted): number =>
      Math.hypot((down + 0.5) * edge - top - seen / 2, (across + 0.5) * edge - left - seen / 2);
    return tiles.sort((a, b) => off(a) - off(b));
  }

  private run(): void {
    this.running = true;
    this.stop = inSlices(this.work());
  }

  private *work(): Generator<void> {
    if (!this.surveyed) yield* this.survey();
    for (let next = this.wanted.shift(); next; next = this.wanted.shift()) {
      const weights = new Float32Array(TILE * TILE);
      yield* this.pyramid.tile(next.level, next.down, next.across, weights);
      this.keep(name(next), weights);
    }
    this.running = false;
    this.changed();
  }

  private *survey(): Generator<void> {
    let shown = performance.now();
    for (const _ of this.pyramid.survey()) {
      if (performance.now() - shown > FRESH_MS) {
        this.show();
        shown = performance.now();
      }
      yield;
    }
    this.surveyed = true;
    this.show();
  }

  private keep(name: string, weights: Float32Array): void {
    const tile = h("canvas", { width: TILE, height: TILE });
    tile.getContext("2d")!.putImageData(shareImage(weights, TILE, this.dark), 0, 0);
    if (this.tiles.size >= KEPT) this.tiles.delete(this.tiles.keys().next().value!);
    this.tiles.set(name, tile);
    this.changed();
  }

  /** Show the overview; a row that has nothing yet is drawn like the next one that has. */
  private show(): void {
    const { size, overview, given } = this.pyramid, filled = overview.slice();
    for (let row = size - 2; row >= 0; row--) {
      if (!given[row]) filled.copyWithin(row * size, (row + 1) * size, (row + 1) * size + row + 1);
    }
    const image = shareImage(filled, size, this.dark);
    this.whole.getContext("2d")!.putImageData(image, 0, 0);
    this.changed();
  }

  private recolour(dark: boolean): void {
    this.dark = dark;
    this.tiles.clear();
    this.show();
  }
}

function name({ level, down, across }: Wanted): string {
  return `${level} ${down} ${across}`;
}
