/** The kinds of figures, by the names that Python calls them: a line each. */

import { type Draw } from "../figure.ts";
import { attentionHead } from "./attention-head.ts";
import { attentionMatrix } from "./attention-matrix.ts";
import { attentionModel } from "./attention-model.ts";
import { attentionNeuron } from "./attention-neuron.ts";
import { attribution } from "./attribution.ts";
import { comparison } from "./comparison.ts";
import { ledger } from "./ledger.ts";
import { map } from "./map.ts";
import { tokens } from "./tokens.ts";
import { tree } from "./tree.ts";
import { ablation } from "./ablation.ts";
import { lens } from "./lens.ts";
import { next } from "./next.ts";
import { surprise } from "./surprise.ts";
import { why } from "./why.ts";

export const figures: Record<string, Draw<any>> = {
  "attention-head": attentionHead,
  "attention-matrix": attentionMatrix,
  "attention-model": attentionModel,
  "attention-neuron": attentionNeuron,
  attribution,
  comparison,
  ledger,
  map,
  tokens,
  tree,
  ablation,
  lens,
  next,
  surprise,
  why,
};
