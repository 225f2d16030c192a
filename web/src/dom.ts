/** Elements, made in one expression. Text is always text: nothing here reads HTML. */

type Given = string | number | boolean | null | undefined | ((event: never) => void);

function fill(made: Element, given: Record<string, Given>, children: readonly (Node | string)[]): void {
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") made.addEventListener(name, value as unknown as EventListener);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, `${value}`);
  }
  made.append(...children);
}

/** `h("p", {class: "quiet", click: listener}, "text", node)`; false, null and undefined are left out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  given: Record<string, Given> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  fill(made, given, children);
  return made;
}

/** The same in SVG. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  given: Record<string, Given> = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[Tag] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(made, given, children);
  return made;
}

let made = 0;

/** An id that no other element of the document has: several figures share one. */
export function unique(name: string): string {
  made += 1;
  return `pellucid-${name}-${made}`;
}
