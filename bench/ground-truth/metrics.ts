/** How what was found compares with what is known to be there. */

export interface Overlap {
  /** Share of the found that is true; 1 when nothing was found. */
  readonly precision: number;
  /** Share of the true that was found; 1 when nothing is true. */
  readonly recall: number;
}

export function overlap(found: Iterable<number>, truth: Iterable<number>): Overlap {
  const [a, b] = [new Set(found), new Set(truth)];
  const both = [...a].filter((x) => b.has(x)).length;
  return { precision: a.size === 0 ? 1 : both / a.size, recall: b.size === 0 ? 1 : both / b.size };
}

/**
 * Area under the ROC curve: the probability that something true has a higher score than something that is not, ties
 * counted half. NaN when all or none is true.
 */
export function auroc(scores: ArrayLike<number>, truth: ArrayLike<number | boolean>): number {
  const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!);
  let positives = 0;
  /** Sum over the true ones of the others below them. */
  let won = 0;
  let negatives = 0;
  for (let at = 0; at < order.length; ) {
    let end = at;
    let tied = 0;
    for (; end < order.length && scores[order[end]!] === scores[order[at]!]; end++) if (truth[order[end]!]) tied++;
    const others = end - at - tied;
    won += tied * (negatives + others / 2);
    positives += tied;
    negatives += others;
    at = end;
  }
  return won / (positives * negatives);
}
