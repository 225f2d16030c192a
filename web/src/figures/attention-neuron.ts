/** Where a score comes from: query times key, dimension by dimension. */

import style from "./attention-neuron.css";
import { Attention, type AttentionData } from "../attention.ts";
import { isDark, onTheme, signedColour } from "../colour.ts";
import { choice, slider, status, toolbar } from "../controls.ts";
import { h } from "../dom.ts";
import { type Figure } from "../figure.ts";
import { percent, signed } from "../numbers.ts";
import { strongest } from "../strongest.ts";
import { tokenList, type TokenList } from "../tokens.ts";
import { Tooltip } from "../tooltip.ts";

const LISTED = 12; // keys
const WIDTH = 256, HEIGHT = 16; // of a strip, in texels: a head has at most a few hundred dimensions

export interface NeuronState {
  readonly layer: number;
  readonly head: number;
  readonly row: number;
  readonly keys: readonly { readonly at: number; readonly score: number; readonly weight: number }[];
}

interface Strip {
  readonly canvas: HTMLCanvasElement;
  readonly values: Float32Array;
  readonly most: number; // the value of the fullest colour
}

class NeuronView {
  private layer = 0;
  private head = 0;
  private readonly attention: Attention;
  private readonly tokens: TokenList;
  private readonly query = h("tr");
  private readonly keys = h("tbody");
  private readonly tooltip: Tooltip;
  private readonly say: (text: string) => void;
  private strips: Strip[] = [];
  private listed: NeuronState["keys"] = [];

  constructor(private readonly host: HTMLElement, data: AttentionData) {
    this.attention = new Attention(data);
    const { layers, heads, tokens } = this.attention;
    const again = (change: (at: number) => void) => (at: number): void => {
      change(at);
      this.show();
    };
    toolbar(host, slider("Layer", layers.map(String), 0, again((at) => (this.layer = at))),
      choice("Head", heads.map(String), 0, again((at) => (this.head = at))));
    this.tokens = tokenList(tokens, "The token that looks", tokens.length - 1, { picked: () => this.show() });
    const headings = ["", "looks at", "key", "query × key", "score", "share"];
    const head = h("thead", {}, this.query, h("tr", {}, ...headings.map((text, i) =>
      h(text ? "th" : "td", { class: i > 3 ? "n" : null }, text))));
    const table = h("table", { "aria-label": "Keys, and how each fits the query" },
      head, this.keys);
    host.append(h("style", {}, style), this.tokens.element, h("div", { class: "strips" }, table));
    this.say = status(host);
    this.tooltip = new Tooltip(host);
    onTheme(() => requestAnimationFrame(() => this.strips.forEach((strip) => this.paint(strip))));
    this.show();
  }

  get state(): NeuronState {
    const { layers, heads } = this.attention;
    return { layer: layers[this.layer]!, head: heads[this.head]!, row: this.tokens.at, keys: this.listed };
  }

  private show(): void {
    const { attention, layer, head, tokens: { at: row } } = this, { dim, rows } = attention;
    const q = attention.q(layer, head).subarray(row * dim, (row + 1) * dim);
    const weights = new Float32Array(rows), scores = new Float32Array(rows);
    attention.pattern(layer, head, row, weights);
    attention.scores(layer, head, row, attention.first(layer, row), row, scores);
    this.listed = strongest(weights).slice(0, LISTED).map((at) => ({ at, score: scores[at]!, weight: weights[at]! }));
    const keys = this.listed.map(({ at }) => attention.k(layer, head).subarray(at * dim, (at + 1) * dim));
    const products = keys.map((k) => q.map((value, d) => value * k[d]! * attention.data.scale));
    this.strips = [];
    const [mostOfQ, mostOfK, mostOfBoth] = [largest([q]), largest(keys), largest(products)];
    this.query.replaceChildren(h("td", { class: "n" }, `${row}`), this.name(row),
      this.strip("query", q, mostOfQ), h("td", { colspan: 3, class: "quiet" }, "← the query of this token"));
    this.keys.replaceChildren(...this.listed.map(({ at, score, weight }, i) => h("tr", {},
      h("td", { class: "n" }, `${at}`), this.name(at), this.strip("key", keys[i]!, mostOfK),
      this.strip("query × key", products[i]!, mostOfBoth), h("td", { class: "n" }, score.toFixed(2)),
      h("td", { class: "n" }, percent(weight)))));
    this.tell(products);
    this.strips.forEach((strip) => this.paint(strip));
  }

  private name(at: number): HTMLElement {
    return h("td", {}, h("bdi", {}, this.attention.tokens[at]!));
  }

  /** The line below says what matters of the colours above. */
  private tell(products: readonly Float32Array[]): void {
    const { tokens } = this.attention, [best] = this.listed;
    if (!best) return;
    const product = products[0]!;
    const order = [...product.keys()].sort((a, b) => Math.abs(product[b]!) - Math.abs(product[a]!)).slice(0, 4);
    const named = order.map((d) => `${d} (${signed(product[d]!, 2)})`).join(", ");
    this.say(`${tokens[this.tokens.at]} looks most at ${best.at} ${tokens[best.at]}: score ${best.score.toFixed(2)}, `
      + `most of it from the dimensions ${named}.`);
  }

  private strip(what: string, values: Float32Array, most: number): HTMLElement {
    const canvas = h("canvas", { width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    canvas.addEventListener("pointermove", (event) => {
      const d = Math.min(Math.floor((event.offsetX / canvas.clientWidth) * values.length), values.length - 1);
      this.tooltip.show(`dimension ${d}: ${what} ${signed(values[d]!, 2)}`, event.clientX, event.clientY);
    });
    canvas.addEventListener("pointerleave", () => this.tooltip.hide());
    this.strips.push({ canvas, values, most });
    return h("td", {}, canvas);
  }

  private paint({ canvas, values, most }: Strip): void {
    const context = canvas.getContext("2d")!, dark = isDark(this.host);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    const edge = WIDTH / values.length;
    values.forEach((value, d) => {
      context.fillStyle = signedColour(most ? value / most : 0, dark);
      context.fillRect(d * edge, 0, edge, HEIGHT);
    });
  }
}

function largest(all: readonly Float32Array[]): number {
  return Math.max(0, ...all.map((values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
}

/** The figure `attention-neuron`. */
export function attentionNeuron(host: HTMLElement, figure: Figure<AttentionData>): () => NeuronState {
  const view = new NeuronView(host, figure.data);
  return () => view.state;
}
