/** Numbers of the overview as text. */

/** `3.1%` */
export function share(part: number, whole: number): string {
  return whole === 0 ? "0%" : `${((100 * part) / whole).toFixed(1)}%`;
}

/** `0.031`; a dash for what is undefined. */
export function score(x: number | null): string {
  return x === null ? "—" : x.toFixed(3);
}
