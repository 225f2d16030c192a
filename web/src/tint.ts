/** Tints: colours behind text, light enough to be read through. */

// Black on the deepest of them has a contrast of 6 and more, as has white in the dark.
const DEEPEST = 0.55;

const INK = {
  light: { share: "8 64 160", more: "232 96 0", less: "8 64 160" },
  dark: { share: "90 160 235", more: "235 140 60", less: "90 160 235" },
} as const;

function ink(name: "share" | "more" | "less", strength: number, dark: boolean): string {
  return `rgb(${INK[dark ? "dark" : "light"][name]} / ${(DEEPEST * Math.min(strength, 1)).toFixed(3)})`;
}

/** The tint of a share in [0, 1]. */
export function shareTint(share: number, dark: boolean): string {
  return ink("share", share, dark);
}

/** The tint of a value in [-1, 1]: orange above zero, blue below, nothing at zero. */
export function signedTint(value: number, dark: boolean): string {
  return ink(value < 0 ? "less" : "more", Math.abs(value), dark);
}
