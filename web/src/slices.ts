/** Long work in short slices, so that the page answers meanwhile. */

const SLICE_MS = 10; // with drawing, within a frame of 16 ms

/** Runs `work`, which yields at least every few milliseconds; gives what stops it. */
export function inSlices(work: Iterator<void>): () => void {
  let timer = 0;
  const slice = (): void => {
    const until = performance.now() + SLICE_MS;
    while (performance.now() < until) {
      if (work.next().done) return;
    }
    timer = setTimeout(slice, 0);
  };
  timer = setTimeout(slice, 0);
  return () => clearTimeout(timer);
}
