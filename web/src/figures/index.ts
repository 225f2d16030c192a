/** The kinds of figures, by the names that Python calls them: a line each. */

import { type Draw } from "../figure.ts";
import { attentionHead } from "./attention-head.ts";

export const figures: Record<string, Draw<any>> = {
  "attention-head": attentionHead,
};
