/** Does the search find the same circuit again? */
import type { Pairs } from "../../prune/extract.ts";
import { mean } from "../../util/statistics.ts";
import { above, type Check, type Finding, worst } from "../check.ts";
import { searchAgain } from "../search-again.ts";

const SEEDS = 4;
/** Mean Jaccard index between circuits of different pruning seeds. */
const JACCARD = [0.8, 0.5] as const;

interface Found {
  readonly name: string;
  readonly nodes: ReadonlySet<number>;
  readonly edges: ReadonlySet<number>;
}

export const stability: Check = {
  name: "stability",
  question: "Does the search find the same circuit again?",
  definition:
    `Jaccard index of nodes and of edges between the circuits of ${SEEDS} further pruning seeds and this one, every pair of them; each seed ` +
    "has training pairs of its own. Also between this one and the circuits of the task's variants. Sizes over all of them, and over " +
    "other runs where they are given (--peers): other training seeds have other nodes, so that only sizes can be compared.",
  threshold: `Passes when the mean index over pruning seeds is at least ${JACCARD[0]} for nodes and for edges; weak from ${JACCARD[1]}.`,
  source: "Drori 2026; Jaccard 1901",
  praise: "stable",
  searches: true,
  async run(lab): Promise<Finding> {
    const { model, stored, ablation, wiring, seed, peers } = lab.subject;
    const variants = lab.subject.places.filter(({ searchable }) => searchable);
    const total = SEEDS + variants.length;
    const own: Found = { name: "this circuit", nodes: new Set(lab.nodes), edges: new Set(lab.edges) };
    const again = async (name: string, pairs: Pairs | undefined, from: number): Promise<Found | undefined> => {
      if (!pairs) return undefined;
      const best = await searchAgain(lab, { model, stored, ablation, pairs, seed: from });
      if (!best) return undefined;
      const kept = new Uint8Array(wiring.nodes);
      for (const n of best.kept) kept[n] = 1;
      return { name, nodes: new Set(best.kept), edges: new Set(wiring.edgesOf(kept)) };
    };
    const seeds: Found[] = [own];
    let missed = 0;
    for (let s = 1; s <= SEEDS; s++) {
      await lab.breathe(s - 1, total);
      const found = await again(`pruning seed ${seed + s}`, lab.subject.pairs(seed + s), seed + s);
      if (found) seeds.push(found);
      else missed++;
    }
    const others: (Found | string)[] = [];
    for (const [i, { name, searchable }] of variants.entries()) {
      await lab.breathe(SEEDS + i, total);
      others.push((await again(name, searchable!(seed), seed)) ?? name);
    }
    const pairs = seeds.flatMap((a, i) => seeds.slice(i + 1).map((b) => [a, b] as const));
    const over = (of: (f: Found) => ReadonlySet<number>): number =>
      pairs.length === 0 ? 0 : mean(pairs.map(([a, b]) => jaccard(of(a), of(b))));
    const [nodes, edges] = [over((f) => f.nodes), over((f) => f.edges)];
    const sizes = seeds.map((f) => f.edges.size);
    const verdict = worst(above(Math.min(nodes, edges), ...JACCARD), missed > 0 ? "weak" : "pass");
    return {
      verdict,
      brief: `Jaccard ${Math.min(nodes, edges).toFixed(2)}`,
      reason:
        `Jaccard index ${nodes.toFixed(2)} for nodes and ${edges.toFixed(2)} for edges over ${seeds.length} pruning seeds; ` +
        `${Math.min(...sizes)} to ${Math.max(...sizes)} edges` +
        (missed > 0 ? `; ${missed} further seeds found none` : ""),
      figures: [
        { name: "Jaccard index of nodes, pruning seeds", value: nodes },
        { name: "Jaccard index of edges, pruning seeds", value: edges },
        { name: "fewest edges, pruning seeds", value: Math.min(...sizes) },
        { name: "most edges, pruning seeds", value: Math.max(...sizes) },
        ...(peers.length === 0
          ? []
          : [
              { name: "fewest edges, training seeds", value: Math.min(...peers.map((p) => p.edges), own.edges.size) },
              { name: "most edges, training seeds", value: Math.max(...peers.map((p) => p.edges), own.edges.size) },
            ]),
      ],
      tables: [
        {
          title: "Circuits found",
          columns: ["search", "nodes", "edges", "nodes shared (Jaccard)", "edges shared (Jaccard)"],
          rows: [
            ...[...seeds, ...others].map((f) =>
              typeof f === "string"
                ? [f, null, null, null, null]
                : [f.name, f.nodes.size, f.edges.size, jaccard(f.nodes, own.nodes), jaccard(f.edges, own.edges)],
            ),
            ...peers.map(({ run, nodes: n, edges: e }) => [run, n, e, null, null]),
          ],
        },
      ],
    };
  },
};

function jaccard(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  const shared = [...a].filter((x) => b.has(x)).length;
  const all = a.size + b.size - shared;
  return all === 0 ? 1 : shared / all;
}
