/** The kinds of figures, by the names that Python calls them: a line each. */

import { type Draw } from "../figure.ts";
import { attentionHead } from "./attention-head.ts";
import { ablation } from "./ablation.ts";
import { lens } from "./lens.ts";
import { next } from "./next.ts";
import { surprise } from "./surprise.ts";
import { why } from "./why.ts";

export const figures: Record<string, Draw<any>> = {
  "attention-head": attentionHead,
  ablation,
  lens,
  next,
  surprise,
  why,
};
