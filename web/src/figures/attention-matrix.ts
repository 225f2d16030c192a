/** The whole pattern of a head, at any length. */

import { Attention, type AttentionData } from "../attention.ts";
import { choice, slider, toolbar } from "../controls.ts";
import { type Figure } from "../figure.ts";
import { type MatrixState, MatrixView } from "../matrix.ts";

/** The figure `attention-matrix`. */
export function attentionMatrix(host: HTMLElement, figure: Figure<AttentionData>): () => MatrixState {
  const attention = new Attention(figure.data);
  const at = { layer: 0, head: 0 };
  const show = (): void => view.show(at.layer, at.head);
  const layers = slider("Layer", attention.layers.map(String), 0, (to) => {
    at.layer = to;
    show();
  });
  const heads = choice("Head", attention.heads.map(String), 0, (to) => {
    at.head = to;
    show();
  });
  toolbar(host, layers, heads);
  const view = new MatrixView(host, attention);
  return () => view.state;
}
