/** One head's pattern at any scale: an overview of all, and tiles of parts, computed when asked for.
 *
 * A texel shows the largest weight of the square of tokens that it covers: a line of single cells
 * stays visible however far away one stands. */

import { type Attention } from "./attention.ts";

export const TILE = 256; // texels a side
const OVERVIEW = 512; // texels a side, at most

export class Pyramid {
  /** The overview has `size` texels a side, of `2 ** level` tokens each. */
  readonly level: number;
  readonly size: number;
  readonly overview: Float32Array;
  /** How many rows each row of the overview has been given so far. */
  readonly given: Uint16Array;
  private readonly sums: Float64Array; // of each row, as `Attention.pattern` gives it; NaN: not yet
  private readonly out: Float32Array;

  constructor(
    private readonly attention: Attention,
    private readonly layer: number,
    private readonly head: number,
  ) {
    const { rows } = attention;
    this.level = Math.max(0, Math.ceil(Math.log2(rows / OVERVIEW)));
    this.size = Math.ceil(rows / 2 ** this.level);
    this.overview = new Float32Array(this.size ** 2);
    this.given = new Uint16Array(this.size);
    this.sums = new Float64Array(rows).fill(NaN);
    this.out = new Float32Array(rows);
  }

  /** Fill the overview, from few rows to all. */
  *survey(): Generator<void> {
    for (let stride = 64; stride; stride >>= 1) {
      for (let row = stride - 1; row < this.attention.rows; row += stride) {
        if (Number.isNaN(this.sums[row])) {
          this.pool(row);
          yield;
        }
      }
    }
  }

  /** The weights of a tile of a level, `[TILE, TILE]`: yields, and ends with `out` filled. */
  *tile(level: number, down: number, across: number, out: Float32Array): Generator<void> {
    const { attention, layer, head } = this, edge = TILE << level;
    const bottom = Math.min((down + 1) * edge, attention.rows);
    out.fill(0);
    for (let row = down * edge; row < bottom; row++) {
      const from = Math.max(across * edge, attention.first(layer, row));
      const to = Math.min((across + 1) * edge - 1, row);
      if (from > to) continue;
      const sum = this.sum(row), line = ((row - down * edge) >> level) * TILE;
      attention.scores(layer, head, row, from, to, this.out);
      for (let j = from; j <= to; j++) {
        const at = line + ((j - across * edge) >> level), weight = Math.exp(this.out[j]! - sum);
        if (weight > out[at]!) out[at] = weight;
      }
      yield;
    }
  }

  /** How much each position up to a row has of it. */
  row(row: number): Float32Array {
    this.attention.pattern(this.layer, this.head, row, this.out);
    return this.out.slice(0, row + 1);
  }

  private sum(row: number): number {
    if (Number.isNaN(this.sums[row])) this.pool(row);
    return this.sums[row]!;
  }

  private pool(row: number): void {
    const { level, size, out } = this, line = row >> level;
    this.sums[row] = this.attention.pattern(this.layer, this.head, row, out);
    this.given[line]! += 1;
    for (let j = 0; j <= row; j++) {
      const at = line * size + (j >> level);
      if (out[j]! > this.overview[at]!) this.overview[at] = out[j]!;
    }
  }
}
