/** Attention patterns, computed from the queries and keys that a page carries (look/attention.py). */

import { type Tensor } from "./figure.ts";

/** Rows of several heads: whole numbers of 12 or 16 bits, value = offset + step * number. */
interface Packed {
  readonly bits: 12 | 16;
  readonly offsets: Tensor; // [heads, head_dim]
  readonly steps: Tensor; // [heads, head_dim]
  readonly high: Tensor<Uint8Array>; // [heads, rows, head_dim]: the upper 8 bits
  readonly low: Tensor<Uint8Array>; // the rest; of 12 bits two a byte, the earlier one below
}

export interface AttentionData {
  readonly tokens: readonly string[];
  readonly heads: readonly number[]; // the model's numbers of them
  readonly groups: readonly number[]; // which of the keys' heads each reads
  readonly scale: number;
  readonly softcap: number | null;
  readonly layers: readonly {
    readonly layer: number;
    readonly window: number | null;
    readonly q: Packed;
    readonly k: Packed;
  }[];
}

const KEPT = 64 << 20; // bytes of unpacked rows: all of 512 tokens on a small model

/** Heads and layers are counted as the data lists them; `layers` and `heads` have their numbers. */
export class Attention {
  readonly tokens: readonly string[];
  readonly rows: number;
  readonly layers: readonly number[];
  readonly heads: readonly number[];
  readonly dim: number;
  private readonly unpacked = new Map<string, Float32Array>();
  private kept = 0;

  constructor(readonly data: AttentionData) {
    this.tokens = data.tokens;
    this.rows = data.tokens.length;
    this.layers = data.layers.map((one) => one.layer);
    this.heads = data.heads;
    this.dim = data.layers[0]?.q.high.shape[2] ?? 0;
  }

  /** The queries of a head, `[rows, dim]`. */
  q(layer: number, head: number): Float32Array {
    return this.plane("q", layer, head);
  }

  /** The keys that a head reads, `[rows, dim]`; several heads may share them. */
  k(layer: number, head: number): Float32Array {
    return this.plane("k", layer, this.data.groups[head]!);
  }

  /** The first position that a row may look at; the last is itself. */
  first(layer: number, row: number): number {
    const window = this.data.layers[layer]!.window;
    return window ? Math.max(0, row - window + 1) : 0;
  }

  /** How well keys `from..to` fit a row's query, scaled and capped; into the same places of `out`. */
  scores(layer: number, head: number, row: number, from: number, to: number, out: Float32Array): void {
    const { scale, softcap } = this.data, { dim } = this;
    const k = this.k(layer, head);
    const query = this.q(layer, head).subarray(row * dim, (row + 1) * dim);
    for (let j = from, at = from * dim; j <= to; j++, at += dim) {
      const fit = dot(query, k, at, dim) * scale;
      out[j] = softcap ? Math.tanh(fit / softcap) * softcap : fit;
    }
  }

  /** How much a row takes of each position: into `out[0..row]`, zero where it may not look. Gives
   * the logarithm of the sum that its scores are softened by: weight = exp(score - that). */
  pattern(layer: number, head: number, row: number, out: Float32Array): number {
    const first = this.first(layer, row);
    this.scores(layer, head, row, first, row, out);
    let most = -Infinity, sum = 0;
    for (let j = first; j <= row; j++) most = Math.max(most, out[j]!);
    for (let j = first; j <= row; j++) sum += out[j] = Math.exp(out[j]! - most);
    for (let j = first; j <= row; j++) out[j]! /= sum;
    out.fill(0, 0, first);
    return most + Math.log(sum);
  }

  private plane(which: "q" | "k", layer: number, head: number): Float32Array {
    const name = `${which} ${layer} ${head}`;
    const known = this.unpacked.get(name);
    if (known) return known;
    const made = unpack(this.data.layers[layer]![which], head);
    while (this.kept > KEPT) this.drop();
    this.unpacked.set(name, made);
    this.kept += made.byteLength;
    return made;
  }

  private drop(): void {
    const [oldest, rows] = this.unpacked.entries().next().value!;
    this.unpacked.delete(oldest);
    this.kept -= rows.byteLength;
  }
}

/** Four sums at a time: one would wait for each addition. */
function dot(query: Float32Array, keys: Float32Array, at: number, dim: number): number {
  let a = 0, b = 0, c = 0, d = 0, i = 0;
  for (; i + 3 < dim; i += 4) {
    a += query[i]! * keys[at + i]!;
    b += query[i + 1]! * keys[at + i + 1]!;
    c += query[i + 2]! * keys[at + i + 2]!;
    d += query[i + 3]! * keys[at + i + 3]!;
  }
  for (; i < dim; i++) a += query[i]! * keys[at + i]!;
  return a + b + (c + d);
}

function unpack({ bits, offsets, steps, high, low }: Packed, head: number): Float32Array {
  const [, rows, dim] = high.shape as [number, number, number];
  const made = new Float32Array(rows * dim), begin = head * rows * dim;
  const offset = offsets.values.subarray(head * dim), step = steps.values.subarray(head * dim);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let d = 0; d < dim; d++, i++) {
      const at = begin + i;
      const rest = bits === 16 ? low.values[at]! : (low.values[at >> 1]! >> ((at & 1) << 2)) & 15;
      made[i] = offset[d]! + step[d]! * ((high.values[at]! << (bits - 8)) + rest);
    }
  }
  return made;
}
