/** What Python sends: a kind of figure and its data, whose arrays come as typed arrays. */

export type Numbers =
  | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array
  | Uint8Array | Uint16Array | Uint32Array;

/** An array of `Figure.data`: its numbers in C order. */
export interface Tensor<T extends Numbers = Float32Array> {
  readonly values: T;
  readonly shape: readonly number[];
}

export interface Figure<Data = unknown> {
  readonly kind: string;
  readonly title: string;
  readonly hint: string;
  readonly data: Data;
}

/** Draws into an empty host, and gives what says, as JSON, what is drawn now: tests read it back. */
export type Draw<Data> = (host: HTMLElement, figure: Figure<Data>) => () => unknown;

const MADE = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
} as const;

/** Data with its references `{"$array": n, dtype, shape}` resolved; equal numbers are one tensor. */
export function resolved(data: unknown, buffers: readonly ArrayBuffer[]): unknown {
  const tensors = new Map<number, Tensor<Numbers>>();
  const tensor = (n: number, dtype: keyof typeof MADE, shape: number[]): Tensor<Numbers> => {
    const known = tensors.get(n) ?? { values: new MADE[dtype](buffers[n]!), shape };
    tensors.set(n, known);
    return known;
  };
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (value === null || typeof value !== "object") return value;
    const held = value as Record<string, unknown>;
    if ("$array" in held) {
      return tensor(held.$array as number, held.dtype as keyof typeof MADE, held.shape as number[]);
    }
    return Object.fromEntries(Object.entries(held).map(([key, inner]) => [key, visit(inner)]));
  };
  return visit(data);
}
