/** Who wrote a logit: bars by writer, the sum layer by layer, and where a head took it from. */

import style from "./why.css";
import { isDark, onTheme } from "../colour.ts";
import { status } from "../controls.ts";
import { h, svg } from "../dom.ts";
import { type Figure, type Tensor } from "../figure.ts";
import { percent, signed } from "../numbers.ts";
import { signedTint } from "../tint.ts";

const SHOWN = 20;
const WIDTH = 420, HEIGHT = 190; // of the line

interface Writer {
  readonly name: string;
  readonly kind: string;
  readonly layer: number | null;
  readonly head: number | null;
  readonly added: number;
  readonly logit: number | null; // of the target, when this one writes nothing
  readonly prob: number | null;
}

interface Data {
  readonly tokens: readonly string[]; // up to the position that is explained
  readonly says: string;
  readonly logit: number; // what the writers sum to
  readonly whole: number; // behind a soft cap
  readonly prob: number;
  readonly writers: readonly Writer[];
  readonly cumulative: readonly number[];
  readonly sources: Tensor; // [layers, heads, tokens]
}

export interface WhyState {
  readonly picked: string;
  readonly bars: readonly { readonly name: string; readonly added: number; readonly width: number }[];
  readonly sources: readonly number[] | null; // of the picked head, by token
  readonly line: readonly number[];
}

class WhyView {
  private at = 0;
  private count = SHOWN;
  private rows: HTMLElement[] = [];
  private readonly list = h("div", {});
  private readonly panel = h("div", { class: "from" });
  private readonly say: (text: string) => void;
  private readonly most: number;

  constructor(private readonly host: HTMLElement, private readonly data: Data) {
    this.most = Math.max(...data.writers.map(({ added }) => Math.abs(added)), 1e-9);
    const lead = data.writers.findIndex(({ kind }) => kind === "head");
    this.at = lead >= 0 && lead < SHOWN ? lead : 0;
    host.append(h("style", {}, style), h("p", { class: "quiet" }, data.says));
    this.say = status(host);
    host.append(h("div", { class: "why" }, this.list, h("div", {}, this.line(), this.panel)));
    this.list.addEventListener("click", (event) => this.pick(this.rowOf(event)));
    this.list.addEventListener("keydown", (event) => this.key(event));
    onTheme(() => requestAnimationFrame(() => this.show()));
    requestAnimationFrame(() => this.show());
    this.draw();
  }

  get state(): WhyState {
    const { writers, cumulative } = this.data;
    const bars = writers.slice(0, this.count).map(({ name, added }) =>
      ({ name, added, width: Math.abs(added) / this.most }));
    return { picked: writers[this.at]!.name, bars, sources: this.sources(), line: [...cumulative] };
  }

  /** What the picked head adds, by the token that it took it from; null where it is no head. */
  private sources(): number[] | null {
    const { layer, head } = this.data.writers[this.at]!, { values, shape } = this.data.sources;
    if (layer === null || head === null) return null;
    const [, heads, tokens] = shape as [number, number, number], from = (layer * heads + head) * tokens;
    return Array.from(values.subarray(from, from + tokens));
  }

  private draw(): void {
    const names = ["layer", "writer", "adds", "takes | adds", "logit without", "prob. without"];
    const head = h("tr", {}, ...names.map((name, i) => h("th", { class: i === 1 ? null : i === 3 ? "middle" : "n" }, name)));
    this.rows = this.data.writers.slice(0, this.count).map((writer, i) => this.row(writer, i));
    const more = h("button", { type: "button", click: () => this.more() },
      `${Math.min(SHOWN, this.data.writers.length - this.count)} more`);
    this.list.replaceChildren(
      h("table", { class: "writers", role: "grid", "aria-label": "Writers of the logit" },
        h("thead", {}, head), h("tbody", {}, ...this.rows)),
      ...(this.count < this.data.writers.length ? [more] : []));
    this.show();
  }

  private more(): void {
    const shown = this.count;
    this.count = Math.min(shown + SHOWN, this.data.writers.length);
    this.draw();
    this.rows[shown]!.focus();
  }

  private row({ layer, kind, head, added, logit, prob }: Writer, i: number): HTMLElement {
    const part = head === null ? kind : `${kind} ${head}`, share = (50 * Math.abs(added)) / this.most;
    const bar = h("span", { class: added < 0 ? "less" : "more",
                            style: `width:${share.toFixed(2)}%;${added < 0 ? "right" : "left"}:50%` });
    const cells = [`${layer ?? ""}`, part, signed(added, 3), bar, logit === null ? "" : logit.toFixed(2),
                   prob === null ? "" : percent(prob)];
    return h("tr", { tabindex: i === this.at ? 0 : -1, "aria-selected": `${i === this.at}` },
      ...cells.map((cell, n) => h("td", { class: n === 3 ? "signed" : n === 1 ? null : "n" }, cell)));
  }

  private rowOf(event: Event): number {
    return this.rows.indexOf((event.target as Element).closest<HTMLElement>("tbody tr")!);
  }

  private key(event: KeyboardEvent): void {
    const step = ({ ArrowUp: -1, ArrowDown: 1 } as Record<string, number>)[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.pick(Math.min(Math.max(this.at + step, 0), this.rows.length - 1));
  }

  private pick(at: number): void {
    if (at < 0) return;
    this.mark(false);
    this.at = at;
    this.mark(true);
    this.rows[at]!.focus();
    this.show();
  }

  private mark(on: boolean): void {
    this.rows[this.at]!.setAttribute("aria-selected", `${on}`);
    this.rows[this.at]!.setAttribute("tabindex", on ? "0" : "-1");
  }

  private show(): void {
    const writer = this.data.writers[this.at]!, sources = this.sources();
    this.say(this.told(writer));
    this.panel.replaceChildren(...(sources ? this.taken(writer, sources)
      : [h("p", { class: "quiet" }, "Pick a head to see from which tokens it took what it adds.")]));
  }

  private taken({ layer, head, added }: Writer, sources: readonly number[]): Node[] {
    const most = Math.max(...sources.map(Math.abs), 1e-9), dark = isDark(this.host);
    const pieces = this.data.tokens.map((token, i) => {
      const made = h("bdi", { title: `${i}: ${signed(sources[i]!, 3)}` }, token);
      made.style.background = signedTint(sources[i]! / most, dark);
      return made;
    });
    const order = [...sources.keys()].sort((a, b) => Math.abs(sources[b]!) - Math.abs(sources[a]!)).slice(0, 3);
    const named = order.map((i) => `${i} ${this.data.tokens[i]} ${signed(sources[i]!, 3)}`);
    return [h("p", {}, `Head ${head} of layer ${layer} took its ${signed(added, 3)} from: ${named.join(", ")}`),
            h("div", { class: "pieces", tabindex: 0, role: "group", "aria-label": "By token" }, ...pieces)];
  }

  private told({ name, added, logit, prob }: Writer): string {
    const then = logit === null || prob === null ? "not silenced here"
      : `silenced in this row, the logit goes from ${this.data.whole.toFixed(2)} to ${logit.toFixed(2)}` +
        ` and the probability from ${percent(this.data.prob)} to ${percent(prob)}`;
    return `${name} adds ${signed(added, 3)} of ${this.data.logit.toFixed(2)} — ${then}`;
  }

  /** The sum after each layer. */
  private line(): HTMLElement {
    const { cumulative } = this.data, low = Math.min(0, ...cumulative), high = Math.max(0, ...cumulative);
    const x = (i: number): number => 34 + ((WIDTH - 44) * i) / Math.max(1, cumulative.length - 1);
    const y = (value: number): number => 10 + ((HEIGHT - 34) * (high - value)) / (high - low || 1);
    const points = cumulative.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const text = (at: number, value: number, words: string, anchor = "end"): SVGElement =>
      svg("text", { x: at, y: value + 4, "text-anchor": anchor }, words);
    const last = cumulative.length - 1;
    const drawing = svg("svg", { class: "sum", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
                                 "aria-label": `The logit layer by layer: ${cumulative.map((v) => v.toFixed(1)).join(", ")}` },
      svg("line", { x1: 34, x2: WIDTH - 10, y1: y(0), y2: y(0) }),
      svg("polyline", { points }),
      ...cumulative.map((value, i) => svg("circle", { cx: x(i), cy: y(value), r: 2.4 }, svg("title", {}, `after ${i}: ${value.toFixed(2)}`))),
      text(28, y(0), "0"), text(28, y(cumulative[last]!), cumulative[last]!.toFixed(1)),
      text(x(0), HEIGHT - 10, "0", "middle"), text(x(last), HEIGHT - 10, `${last}`, "middle"),
      text((x(0) + x(last)) / 2, HEIGHT - 10, "layers that have written", "middle"));
    return h("figure", {}, h("figcaption", {}, "The logit, summed layer by layer"), drawing);
  }
}

/** The figure `why`. */
export function why(host: HTMLElement, figure: Figure<Data>): () => WhyState {
  const view = new WhyView(host, figure.data);
  return () => view.state;
}
