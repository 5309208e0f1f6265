/** Can the search find a circuit in a model that has learned nothing? */
import { paramSpecs } from "../../model/names.ts";
import type { StoredModel } from "../../model/params.ts";
import type { Rng } from "../../util/rng.ts";
import type { Check, Finding } from "../check.ts";
import { searchAgain } from "../search-again.ts";

/** Edges in the random model, as a multiple of the real circuit's. */
const [PASS, WEAK] = [5, 2];

export const randomWeightsControl: Check = {
  name: "random weights control",
  question: "Would the search have found a circuit in an untrained model?",
  definition:
    "The same search for the same task in a model whose matrices have, in each row, as many nonzero weights as the trained model's, at " +
    "random places, with the matrix's own weights dealt to them at random; embeddings and unembeddings have their rows dealt to other " +
    "tokens; biases, norms and the bigram table are the trained ones.",
  threshold: `Passes when the target is never reached, or only with ${PASS} times the edges of the real circuit; weak from ${WEAK} times.`,
  source: "Adebayo et al. 2018 (sanity checks by randomised parameters)",
  praise: "not in a random model",
  searches: true,
  async run(lab): Promise<Finding> {
    const { ablate, ablation, modelOf, pairs, seed, stored: trained } = lab.subject;
    const stored = randomised(trained, lab.rng("random weights"));
    const model = modelOf(stored);
    await lab.breathe(0, 2);
    const best = await searchAgain(lab, {
      model,
      stored,
      ablation: ablate(ablation.kind, ablation.frozenNorm, model),
      pairs: pairs(seed),
      seed,
    });
    const ratio = best && best.edges / Math.max(1, lab.edges.length);
    return {
      verdict: ratio === undefined || ratio >= PASS ? "pass" : ratio >= WEAK ? "weak" : "fail",
      brief: ratio === undefined ? "never reached" : `${ratio.toFixed(1)} times the edges`,
      reason: best
        ? `a random model has a circuit of ${best.nodes} nodes and ${best.edges} edges, ${ratio!.toFixed(1)} times the real one's`
        : "never reached in a random model",
      figures: [
        { name: "nodes", value: best?.nodes ?? null },
        { name: "edges", value: best?.edges ?? null },
        { name: "edges by the real circuit's", value: ratio ?? null },
      ],
    };
  },
};

function randomised({ config, params }: StoredModel, rng: Rng): StoredModel {
  const out = new Map(params);
  for (const { name, shape } of paramSpecs(config)) {
    const values = params.get(name)!;
    const [rows, columns] = shape;
    if (shape.length !== 2 || !/wte|lm_head|c_attn|c_proj|c_fc/.test(name)) continue;
    const isTokens = /wte|lm_head/.test(name);
    out.set(name, (isTokens ? withRowsDealt : withWeightsDealt)(values, rows!, columns!, rng));
  }
  return { config, params: out };
}

function withRowsDealt(values: Float32Array, rows: number, columns: number, rng: Rng): Float32Array {
  const out = new Float32Array(values.length);
  for (const [to, from] of rng.shuffle(Array.from({ length: rows }, (_, r) => r)).entries()) {
    out.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
  }
  return out;
}

function withWeightsDealt(values: Float32Array, rows: number, columns: number, rng: Rng): Float32Array {
  const out = new Float32Array(values.length);
  const weights = rng.shuffle([...values.filter((w) => w !== 0)]);
  const places = Array.from({ length: columns }, (_, c) => c);
  for (let row = 0; row < rows; row++) {
    let count = 0;
    for (let c = 0; c < columns; c++) if (values[row * columns + c] !== 0) count++;
    for (const c of rng.sample(places, count)) out[row * columns + c] = weights.pop()!;
  }
  return out;
}
