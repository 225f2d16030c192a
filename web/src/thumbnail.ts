/** A head in a few texels, and in three numbers. */

import { type Attention } from "./attention.ts";

const SAMPLED = 128; // rows, spread evenly, of a text that has more

export interface Thumbnail {
  readonly size: number;
  readonly texels: Float32Array; // [size, size]: the largest weight that each covers
  /** How much of their attention rows give, on average, to the first token, the one before, themselves. */
  readonly first: number;
  readonly previous: number;
  readonly itself: number;
}

/** Yields after each row; ends with the thumbnail. */
export function* thumbnail(
  attention: Attention, layer: number, head: number, most: number,
): Generator<void, Thumbnail> {
  const { rows } = attention, size = Math.min(rows, most), count = Math.min(rows, SAMPLED);
  const texels = new Float32Array(size * size), out = new Float32Array(rows);
  let first = 0, previous = 0, itself = 0;
  for (let n = 0; n < count; n++) {
    const row = Math.floor(((n + 1) * rows) / count) - 1;
    attention.pattern(layer, head, row, out);
    first += out[0]!;
    previous += row ? out[row - 1]! : 0;
    itself += out[row]!;
    const line = Math.floor((row * size) / rows) * size;
    for (let j = 0; j <= row; j++) {
      const at = line + Math.floor((j * size) / rows);
      if (out[j]! > texels[at]!) texels[at] = out[j]!;
    }
    yield;
  }
  return { size, texels, first: first / count, previous: previous / count, itself: itself / count };
}
