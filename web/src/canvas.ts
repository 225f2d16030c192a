/** A canvas as wide as its place and as sharp as the screen, painted when something changed. */

import { onTheme } from "./colour.ts";
import { h } from "./dom.ts";

export type Paint = (context: CanvasRenderingContext2D, width: number, height: number) => void;

export class Surface {
  readonly canvas: HTMLCanvasElement;
  private asked = false;

  /** `label` tells what is drawn to who cannot see it; `height` in CSS pixels, of a width. */
  constructor(
    host: HTMLElement,
    label: string,
    private readonly height: (width: number) => number,
    private readonly paint: Paint,
  ) {
    this.canvas = h("canvas", { role: "img", "aria-label": label });
    host.append(this.canvas);
    new ResizeObserver(() => this.redraw()).observe(host);
    onTheme(() => this.redraw());
  }

  /** Paint before the next frame, once, however often it is asked. */
  redraw(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.now();
    });
  }

  private now(): void {
    const width = this.canvas.parentElement?.clientWidth ?? 0;
    if (!width) return; // not on the page, or hidden; the observer tells when that changes
    const height = this.height(width), scale = devicePixelRatio || 1;
    const wide = Math.round(width * scale), high = Math.round(height * scale);
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      Object.assign(this.canvas, { width: wide, height: high });
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const context = this.canvas.getContext("2d")!;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    this.paint(context, width, height);
  }
}
