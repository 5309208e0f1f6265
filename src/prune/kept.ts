/** Sets of kept nodes: as a mask with one byte a node (1 kept), or as a list of flat indices. */

/** Flat indices of the kept nodes, ascending. */
export function indices(mask: Uint8Array): number[] {
  const out: number[] = [];
  for (let n = 0; n < mask.length; n++) if (mask[n]) out.push(n);
  return out;
}

/** The inverse of `indices`. */
export function maskOf(kept: readonly number[], nodes: number): Uint8Array {
  const mask = new Uint8Array(nodes);
  for (const n of kept) mask[n] = 1;
  return mask;
}

export function countKept(mask: Uint8Array): number {
  let n = 0;
  for (const m of mask) n += m;
  return n;
}

/** Equal for equal masks. */
export function keyOf(mask: Uint8Array): string {
  return indices(mask).join();
}

/** The mask with some nodes ablated. */
export function without(mask: Uint8Array, nodes: readonly number[]): Uint8Array {
  const out = mask.slice();
  for (const n of nodes) out[n] = 0;
  return out;
}
