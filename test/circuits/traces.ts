/** Circuits on prompts, made up: traces of any circuit over any tokens, for figures. */
import type { Circuit } from "../../src/circuits/schema.ts";
import { headKey, type Trace } from "../../src/circuits/trace.ts";
import { Rng } from "../../src/util/rng.ts";

/** Values and attention are random. @param values of a node at all tokens, where they are not to be random */
export function madeTrace(
  circuit: Circuit,
  tokens: readonly string[],
  { seed = 0, values = new Map<string, readonly number[]>() } = {},
): Trace {
  const rng = Rng.of("made-trace", seed);
  const heads = new Set(circuit.nodes.filter(({ site }) => site === "attn.v").map(headKey));
  const attends = (query: number): number[] => {
    const logits = Array.from({ length: query + 1 }, () => Math.exp(3 * rng.normal()));
    const sum = logits.reduce((a, b) => a + b, 0);
    return logits.map((x) => x / sum);
  };
  const random = (): number[] => tokens.map(() => rng.normal());
  const row = (): Float32Array => Float32Array.from({ length: circuit.model.width }, () => rng.normal());
  return {
    name: "made",
    tokens: tokens.map((text, token) => ({ token, text })),
    values: new Map(circuit.nodes.map(({ id }) => [id, Float64Array.from(values.get(id) ?? random())])),
    ablated: new Map(circuit.nodes.map(({ id }) => [id, 0])),
    attention: new Map([...heads].map((key) => [key, tokens.map((_, query) => attends(query))])),
    embedding: tokens.map(row),
    answers: ['"', "')\n"].map((text, i) => {
      const [circuit, full] = i === 0 ? [0.75, 0.9] : [0.25, 0.1];
      return { token: i + 1, text, circuit, full, right: i === 0, unembedding: row() };
    }),
  };
}
