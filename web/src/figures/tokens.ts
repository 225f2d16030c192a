/** How a text is cut into tokens; of the one that is picked, its bytes and how its word was merged. */

import style from "./tokens.css";
import { status } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { tokenList, type TokenList } from "../tokens.ts";

interface MergeRow {
  readonly rank: string;
  readonly pieces: readonly string[];
  readonly made: number; // which piece is new, or -1
}

export interface TokensData {
  readonly tokens: readonly string[];
  readonly ids: readonly number[];
  readonly bytes: readonly string[];
  readonly spans: readonly (readonly [number, number])[]; // characters
  readonly special: readonly boolean[];
  readonly splits: readonly { word: string; span: readonly [number, number]; rows: readonly MergeRow[] }[];
  readonly says: string;
}

export interface TokensState {
  readonly picked: number;
  readonly word: string | null;
  readonly rows: readonly (readonly string[])[]; // the pieces of each step
}

// The tints of look/html.py, so that text stands on them in light and dark.
const TINTS = ["30 130 240 / .28", "240 150 0 / .3", "0 170 110 / .28", "225 60 120 / .26", "140 90 235 / .28", "150 150 0 / .32"];

class TokensView {
  private readonly list: TokenList;
  private readonly merges = h("div", { class: "merges", "aria-live": "polite" });
  private readonly say: (text: string) => void;

  constructor(host: HTMLElement, private readonly data: TokensData) {
    host.append(h("style", {}, style));
    this.list = tokenList(data.tokens, "Tokens of the text", 0, {
      picked: (at) => this.show(at), hovered: (at) => this.tell(at ?? this.list.at),
    });
    this.list.element.classList.add("cut");
    this.list.items.forEach((item, i) => {
      item.style.setProperty("--tint", `rgb(${data.special[i] ? "128 128 128 / .2" : TINTS[i % TINTS.length]})`);
      item.classList.toggle("special", data.special[i]);
    });
    host.append(this.list.element);
    this.say = status(host);
    host.append(this.merges, h("p", { class: "quiet" }, data.says));
    if (data.tokens.length) this.show(0);
  }

  get state(): TokensState {
    const rows = [...this.merges.querySelectorAll("tbody tr")];
    return {
      picked: this.list.at,
      word: this.merges.querySelector("caption")?.textContent ?? null,
      rows: rows.map((row) => [...row.querySelectorAll("bdi")].map((piece) => piece.textContent!)),
    };
  }

  private tell(at: number): void {
    const { tokens, ids, bytes, spans, special } = this.data;
    const [start, end] = spans[at]!, count = end - start;
    const place = special[at] ? "a special token" : count === 1 ? `character ${start}` : `characters ${start} to ${end - 1}`;
    this.say(`token ${at}: ${tokens[at]}  id ${ids[at]}, bytes ${bytes[at]}${count || special[at] ? `, ${place}` : ""}`);
  }

  private show(at: number): void {
    this.tell(at);
    const [start] = this.data.spans[at]!;
    const split = this.data.splits.find(({ span }) => span[0] <= start && start < span[1]);
    if (!split || this.data.special[at]) {
      const why = this.data.splits.length ? "This token was not merged: it is taken as a whole." : "Merges were not asked for.";
      this.merges.replaceChildren(h("p", { class: "quiet" }, why));
      return;
    }
    this.merges.replaceChildren(h("table", {},
      h("caption", {}, `How ${split.word} was merged`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "n" }, "rank of the merge"), h("th", { scope: "col" }, "pieces"))),
      h("tbody", {}, ...split.rows.map(({ rank, pieces, made }) => h("tr", {}, h("td", { class: "n" }, rank),
        h("td", {}, ...pieces.map((piece, i) => h("bdi", { class: i === made ? "made" : null }, piece))))))));
  }
}

/** The figure `tokens`. */
export function tokens(host: HTMLElement, figure: Figure<TokensData>): () => TokensState {
  const view = new TokensView(host, figure.data);
  return () => view.state;
}
