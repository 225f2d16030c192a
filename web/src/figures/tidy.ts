/** A tidy drawing of a tree that grows to the right: no two boxes overlap, equal subtrees look
 * alike, and it is as flat as that allows (Reingold and Tilford 1981, by the outline of each part).
 * The first child stands straight beside its parent, so that a text reads along a line. */

export interface Placed {
  readonly node: number;
  readonly depth: number;
  readonly line: number; // from the top
}

/** Nodes with their children that are shown, from a root; in the order of reading. */
export function tidy(root: number, children: (node: number) => readonly number[]): Placed[] {
  const lines = new Map<number, number>(); // below its parent's
  /** The lowest line at each depth, from the node's own on, counted from its line. */
  const outline = (node: number): number[] => {
    let below: number[] = [0];
    children(node).forEach((child, place) => {
      const under = outline(child);
      const room = under.map((_, depth) => (below[depth + 1] ?? -1) + 1);
      const line = place === 0 ? 0 : Math.max(1, ...room, lines.get(children(node)[place - 1]!)! + 1);
      lines.set(child, line);
      const depth = Math.max(below.length, under.length + 1);
      below = Array.from({ length: depth }, (_, d) =>
        Math.max(below[d] ?? -1, d > 0 && under[d - 1] !== undefined ? under[d - 1]! + line : -1));
    });
    return below;
  };
  outline(root);
  const placed: Placed[] = [];
  const walk = (node: number, depth: number, line: number): void => {
    placed.push({ node, depth, line });
    for (const child of children(node)) walk(child, depth + 1, line + lines.get(child)!);
  };
  walk(root, 0, 0);
  return placed;
}
