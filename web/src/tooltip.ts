/** A line beside the pointer. What it says is also in the figure's status line: a screen reader and
 * a keyboard have no pointer. */

import { h } from "./dom.ts";

export class Tooltip {
  private readonly box = h("div", { class: "tooltip", "aria-hidden": "true" });

  constructor(host: HTMLElement) {
    this.box.hidden = true;
    host.append(this.box);
  }

  /** Show it beside a place of the window. */
  show(text: string, x: number, y: number): void {
    this.box.textContent = text;
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    const left = Math.min(x + 14, innerWidth - width - 4);
    const top = y + 18 + height > innerHeight ? y - height - 8 : y + 18;
    Object.assign(this.box.style, { left: `${Math.max(left, 4)}px`, top: `${top}px` });
  }

  hide(): void {
    this.box.hidden = true;
  }
}
