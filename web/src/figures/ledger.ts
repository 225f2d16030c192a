/** How each token of an answer was chosen: the candidates' lines from the model through the filters. */

import style from "./ledger.css";
import { distinct } from "../colour.ts";
import { h, svg } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { percent } from "../numbers.ts";
import { tokenList, type TokenList } from "../tokens.ts";

interface Candidate {
  readonly token: string;
  readonly chosen: boolean;
  readonly probs: readonly number[]; // after each step
  readonly ranks: readonly number[]; // 0 once it is removed
  readonly removedBy: string | null;
}

interface Ledger {
  readonly at: number;
  readonly token: string;
  readonly why: string;
  readonly steps: readonly { name: string; left: number; removed: number }[];
  readonly candidates: readonly Candidate[];
  readonly idle: readonly string[];
}

export interface LedgerData {
  readonly ledgers: readonly Ledger[];
}

export interface LedgerState {
  readonly at: number;
  readonly lines: readonly { token: string; points: readonly (readonly [number, number])[]; gone: boolean }[];
}

const HEIGHT = 280;
const TOP = 34;
const SIDE = 170; // for names and numbers
const WIDTH = 1000;
const APART = 17; // of names, so that they can be read

const height = (share: number): number => TOP + (HEIGHT - TOP) * (1 - Math.sqrt(share));

/** Places of names beside their points: in order, and none on another. */
function spread(wanted: readonly number[]): number[] {
  const order = [...wanted.keys()].sort((a, b) => wanted[a]! - wanted[b]!), placed = [...wanted];
  order.forEach((i, n) => {
    if (n) placed[i] = Math.max(placed[i]!, placed[order[n - 1]!]! + APART);
  });
  return placed;
}

class LedgerView {
  private readonly list: TokenList;
  private readonly why = h("p", { role: "status" });
  private readonly slopes = h("div", { class: "slopes" });
  private readonly numbers = h("div", { class: "numbers" });

  constructor(host: HTMLElement, private readonly ledgers: readonly Ledger[]) {
    host.append(h("style", {}, style));
    this.list = tokenList(ledgers.map(({ token }) => token), "Tokens of the answer", 0, { picked: () => this.show() });
    host.append(this.list.element, this.why, this.slopes, this.numbers);
    this.show();
  }

  private get ledger(): Ledger {
    return this.ledgers[this.list.at]!;
  }

  get state(): LedgerState {
    const lines = this.ledger.candidates.map((candidate) => ({
      token: candidate.token, points: this.points(candidate), gone: candidate.removedBy !== null,
    }));
    return { at: this.ledger.at, lines };
  }

  private show(): void {
    const { ledger } = this;
    this.why.replaceChildren(`${ledger.at}  `, ledger.why);
    this.slopes.replaceChildren(this.drawn(ledger));
    const idle = ledger.idle.map((line) => h("p", { class: "quiet" }, line));
    this.numbers.replaceChildren(this.table(ledger), ...idle);
  }

  private x(step: number): number {
    const { length } = this.ledger.steps;
    return length === 1 ? WIDTH / 2 : SIDE + (WIDTH - 2 * SIDE) * (step / (length - 1));
  }

  /** Where a candidate is after each step, until it is removed. */
  private points({ probs, ranks }: Candidate): [number, number][] {
    const alive = ranks.indexOf(0) < 0 ? probs.length : ranks.indexOf(0);
    return probs.slice(0, alive).map((share, step) => [this.x(step), height(share)]);
  }

  private drawn(ledger: Ledger): SVGElement {
    const first = spread(ledger.candidates.map(({ probs }) => height(probs[0]!)));
    const lowest = Math.max(HEIGHT + 30, ...first.map((y) => y + 32));
    const columns = ledger.steps.map(({ name, left }, step) => svg("g", {},
      svg("line", { x1: this.x(step), x2: this.x(step), y1: TOP - 8, y2: HEIGHT }),
      svg("text", { class: "head", x: this.x(step), y: 14 }, name),
      svg("text", { class: "below", x: this.x(step), y: lowest - 4 }, `${left.toLocaleString("en")} left`)));
    const lines = ledger.candidates.map((candidate, i) => this.line(candidate, i, first[i]!));
    return svg("svg", {
      viewBox: `0 0 ${WIDTH} ${lowest}`, role: "img",
      "aria-label": `Probabilities of ${ledger.candidates.length} candidates after ${ledger.steps.length} steps; the table below has them`,
    }, ...columns, ...lines, ...this.ends(ledger));
  }

  private line(candidate: Candidate, i: number, y: number): SVGElement {
    const points = this.points(candidate), [last] = points.slice(-1);
    const [x, end] = last!, [x0, y0] = points[0]!;
    const gone = candidate.removedBy !== null;
    const mark = gone
      ? svg("path", { class: "gone", d: `M${x + 4} ${end - 5}l10 10m0 -10l-10 10` })
      : svg("circle", { cx: x, cy: end, r: candidate.chosen ? 7 : 4.5 });
    return svg("g", { class: candidate.chosen ? "chosen" : null, style: `--line:${distinct(i)}` },
      svg("title", {}, `${candidate.token}: ${candidate.probs.map(percent).join(" → ")}${gone ? `, removed by ${candidate.removedBy}` : ""}`),
      svg("polyline", { points: points.map((point) => point.join(",")).join(" ") }),
      svg("circle", { cx: x0, cy: y0, r: 4 }), mark,
      svg("text", { class: "mono", x: x0 - 12, y: y + 4.5, "text-anchor": "end" }, candidate.token));
  }

  /** What the choice was made of, on the right. */
  private ends(ledger: Ledger): SVGElement[] {
    if (ledger.steps.length === 1) return [];
    const left = ledger.candidates.filter(({ removedBy }) => removedBy === null);
    const at = spread(left.map(({ probs }) => height(probs.at(-1)!)));
    return left.map(({ token, probs, chosen }, i) =>
      svg("text", { class: "mono", x: this.x(ledger.steps.length - 1) + 14, y: at[i]! + 4.5, "font-weight": chosen ? 700 : 400 },
        `${token} ${percent(probs.at(-1)!)}`));
  }

  private table(ledger: Ledger): HTMLElement {
    const head = ["token", "rank", ...ledger.steps.map(({ name }) => name)];
    const cell = (candidate: Candidate, step: number): string => {
      if (candidate.ranks[step]) return percent(candidate.probs[step]!);
      return candidate.ranks[step - 1] ? "removed" : "";
    };
    const rows = ledger.candidates.map((candidate, i) => h("tr", { class: candidate.chosen ? "chosen" : null },
      h("td", {}, h("i", { style: `background:${distinct(i)}`, "aria-hidden": "true" }), h("bdi", {}, candidate.token), candidate.chosen ? " chosen" : ""),
      h("td", { class: "n" }, `${candidate.ranks[0]}`),
      ...ledger.steps.map((_, step) => h("td", { class: "n" }, cell(candidate, step)))));
    return h("table", {}, h("caption", {}, "The candidates, step by step"),
      h("thead", {}, h("tr", {}, ...head.map((name, i) => h("th", { scope: "col", class: i ? "n" : null }, name)))), h("tbody", {}, ...rows));
  }
}

/** The figure `ledger`. */
export function ledger(host: HTMLElement, figure: Figure<LedgerData>): () => LedgerState {
  const view = new LedgerView(host, figure.data.ledgers);
  return () => view.state;
}
