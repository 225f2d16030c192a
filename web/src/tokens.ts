/** Tokens as a list of which one is picked: by click, or by arrows, Home and End. */

import { h } from "./dom.ts";

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

export interface TokenList {
  readonly element: HTMLElement;
  readonly items: readonly HTMLElement[];
  /** The token that is picked; setting it calls nobody back. */
  at: number;
}

export interface TokenEvents {
  picked(at: number): void;
  /** The token under the pointer, or null when it leaves. */
  hovered?(at: number | null): void;
}

/** The tokens one after the other, or one below the other where the style says so. */
export function tokenList(
  labels: readonly string[], name: string, first: number, events: TokenEvents,
): TokenList {
  let at = first;
  const items = labels.map((label, i) =>
    h("span", { role: "option", tabindex: i === at ? 0 : -1, "aria-selected": `${i === at}`,
                "aria-label": `${i} ${label}` }, h("bdi", {}, label)));
  const show = (to: number): void => {
    items[at]?.setAttribute("aria-selected", "false");
    items[at]?.setAttribute("tabindex", "-1");
    at = to;
    items[at]?.setAttribute("aria-selected", "true");
    items[at]?.setAttribute("tabindex", "0");
  };
  const pick = (to: number): void => {
    show(to);
    items[to]?.focus();
    events.picked(to);
  };
  const element = h("div", { class: "tokens", role: "listbox", "aria-label": name }, ...items);
  const of = (event: Event): number =>
    items.indexOf((event.target as Element).closest<HTMLElement>("[role=option]")!);
  element.addEventListener("click", (event) => of(event) >= 0 && pick(of(event)));
  element.addEventListener("pointerover", (event) => of(event) >= 0 && events.hovered?.(of(event)));
  element.addEventListener("pointerleave", () => events.hovered?.(null));
  element.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const ends: Record<string, number> = { Home: 0, End: items.length - 1 };
    const to = step === undefined ? ends[event.key] : at + step;
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    pick(Math.min(Math.max(to, 0), items.length - 1));
  });
  requestAnimationFrame(() => (element.scrollTop = (items[at]?.offsetTop ?? 0) - element.clientHeight / 2));
  return Object.defineProperty({ element, items, at }, "at", { get: () => at, set: show });
}
