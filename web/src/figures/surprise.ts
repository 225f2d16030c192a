/** A text, tinted by how little the model expected each token. */

import words from "../words.css";
import style from "./surprise.css";
import { isDark, onTheme } from "../colour.ts";
import { h } from "../dom.ts";
import { status } from "../controls.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { percent } from "../numbers.ts";
import { signedTint } from "../tint.ts";
import { tokenList, type TokenList } from "../tokens.ts";
import { type Likely, likelyTable } from "../words.ts";

const MOST_BITS = 16; // as deep as it gets: one in 65,536

interface Data {
  readonly tokens: readonly string[];
  readonly bits: Tensor; // [tokens]; of the first nothing is known
  readonly ranks: Tensor<Int32Array>;
  readonly entropy: Tensor; // bits, of what the token was drawn from
  readonly words: readonly string[];
  readonly expected: Tensor<Int32Array>; // [tokens - 1, top]
  readonly shares: Tensor;
  readonly perplexity: number | null;
}

export interface SurpriseState {
  readonly at: number;
  readonly bits: readonly number[];
  readonly expected: readonly Likely[];
}

class SurpriseView {
  private readonly list: TokenList;
  private readonly panel = h("div", { class: "beside" });
  private readonly say: (text: string) => void;
  private hovered: number | null = null;

  constructor(private readonly host: HTMLElement, private readonly data: Data) {
    const first = data.tokens.length > 1 ? data.bits.values.indexOf(Math.max(...data.bits.values)) : 0;
    this.list = tokenList(data.tokens, "The text", first, {
      picked: () => {
        this.hovered = null; // where the pointer rests matters no more
        this.show();
      },
      hovered: (at) => {
        this.hovered = at;
        this.show();
      },
    });
    this.list.element.classList.add("text");
    this.say = status(host);
    host.append(h("style", {}, words + style), h("div", { class: "text-and-list" }, this.list.element, this.panel));
    requestAnimationFrame(() => this.tint());
    onTheme(() => requestAnimationFrame(() => this.tint()));
    this.show();
  }

  get at(): number {
    return this.hovered ?? this.list.at;
  }

  expected(at: number): Likely[] {
    const { expected, shares, words } = this.data, top = expected.shape[1]!;
    if (!at) return [];
    return Array.from({ length: top }, (_, i) => {
      const place = (at - 1) * top + i;
      return { word: words[expected.values[place]!]!, share: shares.values[place]! };
    });
  }

  private tint(): void {
    const dark = isDark(this.host);
    this.list.items.forEach((item, i) => {
      item.style.background = signedTint(this.data.bits.values[i]! / MOST_BITS, dark);
    });
  }

  private show(): void {
    const { at, data } = this, word = data.tokens[at]!;
    this.say(this.told(at));
    const expected = this.expected(at);
    this.panel.replaceChildren(...(expected.length
      ? [likelyTable("What was expected here", expected, word)] : []));
  }

  private told(at: number): string {
    const { tokens, bits, ranks, entropy, perplexity } = this.data;
    if (!at) return `0 ${tokens[0]} — the first token: nothing is before it`;
    const surprise = bits.values[at]!, whole = perplexity === null ? "" : `; of the text: perplexity ${perplexity.toFixed(1)}`;
    return `${at} ${tokens[at]} — ${surprise.toFixed(1)} bits of surprise (${percent(2 ** -surprise)}), number ` +
      `${ranks.values[at]} in line; ${entropy.values[at]!.toFixed(1)} bits were to be expected${whole}`;
  }
}

/** The figure `surprise`. */
export function surprise(host: HTMLElement, figure: Figure<Data>): () => SurpriseState {
  const view = new SurpriseView(host, figure.data);
  return () => ({ at: view.at, bits: [...figure.data.bits.values], expected: view.expected(view.at) });
}
