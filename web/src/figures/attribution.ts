/** Which tokens an answer rests on: what was measured without each, beside what gradients claim. */

import style from "./attribution.css";
import { isDark, onTheme, signedColour } from "../colour.ts";
import { choice, status, toolbar } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { signed } from "../numbers.ts";
import { tokenList, type TokenList } from "../tokens.ts";

export interface AttributionData {
  readonly tokens: readonly string[];
  readonly effect: Tensor; // NaN where it was not tried
  readonly integrated?: Tensor;
  readonly gradient?: Tensor;
  readonly of: string;
  readonly says: string;
  readonly notes: readonly string[];
}

export interface AttributionState {
  readonly tint: string;
  readonly picked: number;
  readonly shares: readonly number[]; // of the largest, as tinted
  readonly bars: readonly (readonly number[])[]; // of each token: the shares of its bars
}

interface Measure { readonly name: string; readonly values: Float32Array; readonly most: number }

const INK = 0.5; // how dense the deepest tint is: text stands on it

function measure(name: string, tensor: Tensor | undefined): Measure[] {
  if (!tensor) return [];
  const most = tensor.values.reduce((high, x) => (Number.isNaN(x) ? high : Math.max(high, Math.abs(x))), 0);
  return [{ name, values: tensor.values, most: most || 1 }];
}

const share = ({ values, most }: Measure, i: number): number => (Number.isNaN(values[i]!) ? 0 : values[i]! / most);
const told = (x: number): string => (Number.isNaN(x) ? "not tried" : signed(x, 3));

class AttributionView {
  private readonly measures: readonly Measure[];
  private tint = 0;
  private readonly list: TokenList;
  private readonly rows: HTMLElement[];
  private readonly say: (text: string) => void;

  constructor(private readonly host: HTMLElement, private readonly data: AttributionData) {
    this.measures = [
      ...measure("without it (measured)", data.effect),
      ...measure("integrated gradients (claimed)", data.integrated),
      ...measure("gradient × input (claimed)", data.gradient),
    ];
    host.append(h("style", {}, style), h("p", {}, data.says));
    if (this.measures.length > 1) {
      toolbar(host, choice("Tint by", this.measures.map(({ name }) => name), 0, (at) => {
        this.tint = at;
        this.colour();
      }));
    }
    this.list = tokenList(data.tokens, "Tokens of the text", 0, {
      picked: (at) => this.pick(at), hovered: (at) => this.tell(at ?? this.list.at),
    });
    host.append(this.list.element);
    this.say = status(host);
    this.rows = data.tokens.map((token, i) => this.row(token, i));
    const columns = this.measures.map(({ name }) => h("th", { scope: "colgroup", colspan: 2 }, name));
    const widths = ["place", "name", ...this.measures.flatMap(() => ["number", "bar"])].map((name) => h("col", { class: name }));
    host.append(h("div", { class: "brings", tabindex: 0, role: "region", "aria-label": "What each token brings" },
      h("table", {}, h("colgroup", {}, ...widths), h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "n" }, "#"), h("th", { scope: "col" }, "token"), ...columns)),
        h("tbody", {}, ...this.rows))));
    host.append(...data.notes.map((note) => h("p", { class: "quiet" }, note)));
    onTheme(() => this.colour());
    requestAnimationFrame(() => this.colour());
    this.tell(0);
  }

  get state(): AttributionState {
    const tinted = this.measures[this.tint]!;
    return {
      tint: tinted.name,
      picked: this.list.at,
      shares: this.data.tokens.map((_, i) => share(tinted, i)),
      bars: this.rows.map((row) => [...row.querySelectorAll<HTMLElement>("i")].map((bar) =>
        (bar.style.left === "50%" ? 1 : -1) * parseFloat(bar.style.width) / 50)),
    };
  }

  private row(token: string, i: number): HTMLElement {
    const cells = this.measures.flatMap((each) => [
      h("td", { class: "n" }, told(each.values[i]!)),
      h("td", { class: "diverging" }, h("span", { "aria-hidden": "true" }, this.bar(share(each, i)))),
    ]);
    return h("tr", {}, h("td", { class: "n" }, `${i}`), h("td", {}, h("bdi", {}, token)), ...cells);
  }

  /** From the middle to the right for what speaks for the answer, to the left against it. */
  private bar(of: number): HTMLElement {
    const width = 50 * Math.abs(of);
    return h("i", { style: `left:${of < 0 ? `${50 - width}%` : "50%"};width:${width}%` });
  }

  private colour(): void {
    const dark = isDark(this.host), tinted = this.measures[this.tint]!;
    this.list.items.forEach((item, i) => (item.style.background = signedColour(INK * share(tinted, i), dark)));
    this.rows.forEach((row) => row.querySelectorAll<HTMLElement>("i").forEach((bar) =>
      (bar.style.background = signedColour(bar.style.left === "50%" ? 0.85 : -0.85, dark))));
  }

  private pick(at: number): void {
    this.rows.forEach((row, i) => row.classList.toggle("picked", i === at));
    this.rows[at]!.scrollIntoView({ block: "nearest" });
    this.tell(at);
  }

  private tell(at: number): void {
    const each = this.measures.map(({ name, values }) => `${name} ${told(values[at]!)}`);
    this.say(`${at} ${this.data.tokens[at]}: ${each.join(", ")}`);
  }
}

/** The figure `attribution`. */
export function attribution(host: HTMLElement, figure: Figure<AttributionData>): () => AttributionState {
  const view = new AttributionView(host, figure.data);
  return () => view.state;
}
