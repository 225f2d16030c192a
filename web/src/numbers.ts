/** How figures write numbers. */

/** A probability, as look/numbers.py writes it: `12.35 %`. */
export function percent(share: number): string {
  return share > 0 && share < 0.00005 ? "< 0.01 %" : `${(100 * share).toFixed(2)} %`;
}

/** What is added or taken: `+1.50`, `−0.25`. */
export function signed(value: number, digits: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}
