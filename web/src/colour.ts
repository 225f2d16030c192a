/** Colours that suit the page's own background, light or dark, and eyes that see fewer of them. */

type Rgb = readonly [number, number, number];

/** Whether the host stands on a dark page: its text is light. A notebook's theme is not the
 * system's, so the system is not asked. */
export function isDark(host: Element): boolean {
  const [r, g, b] = (getComputedStyle(host).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
  return 0.299 * r! + 0.587 * g! + 0.114 * b! > 128;
}

/** Calls back when the system changes between light and dark. */
export function onTheme(changed: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

const css = ([r, g, b]: Rgb, alpha: number): string => `rgb(${r} ${g} ${b} / ${alpha.toFixed(3)})`;

const INK: Record<"light" | "dark", { share: Rgb; more: Rgb; less: Rgb }> = {
  light: { share: [8, 64, 160], more: [176, 68, 0], less: [8, 64, 160] },
  dark: { share: [150, 205, 255], more: [255, 176, 96], less: [150, 205, 255] },
};

/** The ink of shares: more of it over the page's background means more. One hue, whose lightness
 * falls (in the dark: rises) evenly. */
export function shareInk(dark: boolean): Rgb {
  return INK[dark ? "dark" : "light"].share;
}

/** How dense the ink of a share in [0, 1] is: its square root, so that one percent can be seen. */
export function density(share: number): number {
  return Math.sqrt(Math.min(Math.max(share, 0), 1));
}

/** The colour of a share in [0, 1]. */
export function shareColour(share: number, dark: boolean): string {
  return css(shareInk(dark), density(share));
}

/** The colour of a signed value in [-1, 1]: orange above zero, blue below, nothing at zero. */
export function signedColour(value: number, dark: boolean): string {
  const { more, less } = INK[dark ? "dark" : "light"];
  return css(value < 0 ? less : more, Math.min(Math.abs(value), 1));
}

// Okabe and Ito (2008), told apart by colour-blind eyes too, without their yellow and black: one
// vanishes on a light page, the other on a dark one. Then three of Tol's muted ones.
const DISTINCT = [
  "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#aa4499", "#888888",
] as const;

/** The colour of the nth of several things. */
export function distinct(n: number): string {
  return DISTINCT[n % DISTINCT.length]!;
}

/** Shares `[height, width]` as pixels in the ink of shares. */
export function shareImage(shares: Float32Array, width: number, dark: boolean): ImageData {
  const image = new ImageData(width, shares.length / width), { data } = image;
  const [r, g, b] = shareInk(dark);
  for (let i = 0, at = 0; i < shares.length; i++, at += 4) { // `set` of four numbers takes ten times as long
    data[at] = r;
    data[at + 1] = g;
    data[at + 2] = b;
    data[at + 3] = Math.round(255 * density(shares[i]!));
  }
  return image;
}
