/** Numbers of the overview as text. */

/** `12,345` */
export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 node`, `2 nodes` */
export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** `3.1%` */
export function share(part: number, whole: number): string {
  return whole === 0 ? "0%" : `${((100 * part) / whole).toFixed(1)}%`;
}

/** `0.031`; a dash for what is undefined. */
export function score(x: number | null): string {
  return x === null ? "—" : x.toFixed(3);
}
