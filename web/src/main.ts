/** The bundle's face: `draw` for anyone, `render` for notebooks; a page of its own draws itself. */

import { h } from "./dom.ts";
import { type Draw, type Figure, resolved } from "./figure.ts";
import { figures } from "./figures/index.ts";
import { frame } from "./frame.ts";

/** Draw a figure below what the host has; `state()` of the section is what the drawing says of itself. */
export function draw(host: HTMLElement, figure: Figure): HTMLElement {
  const { outer, inner } = frame(host, figure);
  const drawing = figures[figure.kind] as Draw<unknown> | undefined;
  if (!drawing) throw new Error(`no figure of kind ${figure.kind}`);
  return Object.assign(outer, { state: drawing(inner, figure) });
}

interface Sent {
  readonly figures: readonly Figure[];
}

/** Draw the figures of a page (look/page.py) into its `main`; says so where one fails. */
async function openPage(data: Element): Promise<void> {
  const host = document.querySelector("main")!;
  try {
    const sent = JSON.parse(data.textContent!) as Sent;
    const buffers = await Promise.all([...document.querySelectorAll("script.array")].map(inflated));
    for (const figure of resolved(sent.figures, buffers) as Figure[]) draw(host, figure);
    document.documentElement.dataset.drawn = "";
  } catch (error) {
    host.append(h("p", { class: "wrong", role: "alert" }, `This page cannot be drawn: ${error}`));
    throw error;
  }
}

/** The bytes of an array: base64 of a zlib stream. */
async function inflated(script: Element): Promise<ArrayBuffer> {
  const text = atob(script.textContent!);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

interface Model {
  get(name: "figure"): Figure;
  get(name: "buffers"): DataView[];
}

/** What anywidget calls (look/widget.py). Views of a message's bytes are copied: typed arrays want
 * them aligned. */
function render({ model, el }: { model: Model; el: HTMLElement }): void {
  const buffers = model.get("buffers").map((view) =>
    view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer);
  draw(el, resolved(model.get("figure"), buffers) as Figure);
}

const data = document.querySelector("script#pellucid-figures");
if (data) void openPage(data);

export default { render };
