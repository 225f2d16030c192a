/** What every figure has: its title, the line that says what to look for, and the place below. */

import style from "./figure.css";
import { isDark, onTheme } from "./colour.ts";
import { h, unique } from "./dom.ts";
import { type Figure } from "./figure.ts";

/** The frame's empty place for a figure's drawing. */
export function frame(host: HTMLElement, figure: Figure): { outer: HTMLElement; inner: HTMLElement } {
  const id = unique("title");
  const inner = h("div", { class: "drawing" });
  const outer = h("section", { class: "pellucid-figure", "aria-labelledby": id, dir: "ltr" },
    h("style", {}, style), h("h2", { id }, figure.title), h("p", { class: "hint" }, figure.hint), inner);
  host.append(outer);
  const theme = (): void => void outer.classList.toggle("dark", isDark(outer));
  requestAnimationFrame(theme); // a notebook may put the host on its page only now
  onTheme(theme);
  return { outer, inner };
}
