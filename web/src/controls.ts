/** Labelled controls of a figure; each calls back with the new value. All are the browser's own, so
 * that keyboard, focus and screen readers work as everywhere. */

import { h } from "./dom.ts";

/** A row of controls at the top of a figure. */
export function toolbar(host: HTMLElement, ...controls: HTMLElement[]): void {
  host.append(h("div", { class: "toolbar", role: "group", "aria-label": "Controls" }, ...controls));
}

/** The line that says what is drawn right now, also to screen readers. */
export function status(host: HTMLElement): (text: string) => void {
  const line = h("p", { class: "status", role: "status" });
  host.append(line);
  return (text) => {
    if (line.textContent !== text) line.textContent = text;
  };
}

/** One of several names. */
export function choice(
  label: string, names: readonly string[], at: number, changed: (at: number) => void,
): HTMLElement {
  const options = names.map((name, i) => h("option", { value: i, selected: i === at }, name));
  const select = h("select", { change: () => changed(select.selectedIndex) }, ...options);
  return h("label", {}, `${label} `, select);
}

/** One of several names in their order, to be run through by arrow keys. */
export function slider(
  label: string, names: readonly string[], at: number, changed: (at: number) => void,
): HTMLElement & { value: number } {
  const shown = h("output", {}, names[at] ?? "");
  const input = h("input", {
    type: "range", min: 0, max: names.length - 1, value: at, "aria-label": label,
    "aria-valuetext": names[at],
    input: () => move(Number(input.value)),
  });
  const show = (to: number): void => {
    input.value = `${to}`;
    shown.textContent = names[to] ?? "";
    input.setAttribute("aria-valuetext", names[to] ?? "");
  };
  const move = (to: number): void => {
    show(to);
    changed(to);
  };
  const whole = h("span", { class: "slider" }, `${label} `, shown, input);
  return Object.defineProperty(whole, "value", { get: () => Number(input.value), set: show }) as
    HTMLElement & { value: number };
}

/** Yes or no. */
export function check(label: string, on: boolean, changed: (on: boolean) => void): HTMLElement {
  const input = h("input", { type: "checkbox", change: () => changed(input.checked) });
  input.checked = on;
  return h("label", {}, input, ` ${label}`);
}

/** Something to do. `label` is what a screen reader says where the text is a sign. */
export function button(text: string, pressed: () => void, label?: string): HTMLButtonElement {
  return h("button", { type: "button", "aria-label": label, title: label, click: pressed }, text);
}
