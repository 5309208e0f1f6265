/** Every differentiable op as a case that draws its inputs: what the engine suites run over. */
import type { Activation, DenseParam, Nonlinearity, Param, Protect, SparseParam } from "../../src/engine/engine.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { type Dims, Maker, type Style } from "./draw.ts";
import { duplicate, type InputSpec, type OpInstance, type ParamSpec } from "./evaluate.ts";

export interface OpCase {
  readonly name: string;
  /** Has kinks, so that finite differences need spaced inputs. */
  readonly kinked?: boolean;
  /** Every engine must give the reference's bytes. */
  readonly exact?: boolean;
  make(dims: Dims, style: Style): OpInstance;
}

type Run = OpInstance["run"];

function opCase(
  name: string,
  build: (m: Maker) => { inputs?: InputSpec[]; params?: ParamSpec[]; run: Run },
  traits: { kinked?: boolean; exact?: boolean } = {},
): OpCase {
  return {
    name,
    ...traits,
    make(dims, style) {
      const { inputs = [], params = [], run } = build(new Maker(dims, style));
      return { inputs, params, run };
    },
  };
}

const sparseOf = (p: Param | undefined) => p as SparseParam;
const denseOf = (p: Param | undefined) => p as DenseParam;
const single = (out: Activation) => ({ outputs: [out] });

function normCase(kind: "rms" | "layer", bias: boolean): OpCase {
  return opCase(`norm ${kind}${bias ? " with bias" : ""}`, (m) => {
    const { width } = m.dims;
    const params = [m.dense("weight", [width])];
    if (bias) params.push(m.dense("bias", [width]));
    return {
      inputs: [m.input(width, { values: m.values(m.count * width, "normal") })],
      params,
      run: (tape, [x], [w, b]) => single(ops.norm(tape, kind, x!, denseOf(w), bias ? denseOf(b) : null)),
    };
  });
}

function linearCase(bias: boolean, protect: Protect): OpCase {
  return opCase(`linear${bias ? " with bias" : ""} (${protect ?? "unprotected"})`, (m) => {
    const { width, other } = m.dims;
    const params = [m.sparse("w", [other, width], protect)];
    if (bias) params.push(m.dense("bias", [other]));
    return {
      inputs: [m.input(width)],
      params,
      run: (tape, [x], [w, b]) => single(ops.linear(tape, x!, sparseOf(w), bias ? denseOf(b) : null)),
    };
  });
}

/** Both operands of the weight's gradient, one or none are mostly zero: each is computed in its own way. */
function cutLinearCase(cutInput: boolean, cutOutput: boolean, protect: Protect): OpCase {
  const cut = [cutInput && "input", cutOutput && "output"].filter(Boolean).join(" and ");
  return opCase(`linear with zeros in ${cut} (${protect ?? "unprotected"})`, (m) => {
    const { width, other } = m.dims;
    const constant = (size: number, draw: () => number) =>
      m.input(size, { differentiable: false, values: Float32Array.from({ length: m.count * size }, draw) });
    /** Three quarters of the entries become zero, and so do their gradients. */
    const zeros = (size: number) => [constant(size, () => 0), constant(size, () => (m.rng.bool(0.75) ? 1 : 0))];
    return {
      inputs: [m.input(width), ...zeros(width), ...zeros(other)],
      params: [m.sparse("w", [other, width], protect)],
      run: (tape, [x, x0, xAt, y0, yAt], [w]) => {
        const y = ops.linear(tape, cutInput ? ops.patch(tape, x!, x0!, xAt!) : x!, sparseOf(w), null);
        return single(cutOutput ? ops.patch(tape, y, y0!, yAt!) : y);
      },
    };
  });
}

function absTopKCase(inPlace: boolean): OpCase {
  return opCase(
    `absTopK${inPlace ? " in place" : ""}`,
    (m) => {
      const { width, fraction } = m.dims;
      const k = Math.floor(fraction * (width + 1));
      return {
        inputs: [m.input(width)],
        run: (tape, [x]) => single(ops.absTopK(tape, inPlace ? duplicate(tape, x!) : x!, k, { inPlace })),
      };
    },
    { kinked: true, exact: true },
  );
}

/** GELU of values over 1, where it rises: spaced inputs have spaced results. */
function nonlinearityTopKCase(kind: Nonlinearity): OpCase {
  return opCase(
    `nonlinearity ${kind} and AbsTopK`,
    (m) => {
      const { width, fraction } = m.dims;
      const k = Math.floor(fraction * (width + 1));
      const x = m.input(width);
      return {
        inputs: [kind === "gelu" ? { ...x, values: x.values.map((v) => 1 + Math.abs(v)) } : x],
        run: (tape, [input]) => single(ops.nonlinearity(tape, kind, input!, k)),
      };
    },
    { kinked: true },
  );
}

/**
 * `kept`: the fraction of queries', keys' and values' entries that are not zero, as after AbsTopK. `last`: only the last
 * token of each sequence has a gradient.
 */
function attentionCase(sink: boolean, kept = 1, last = false): OpCase {
  const name = `attention${kept < 1 ? " of mostly zeros" : ""}${sink ? " with sink" : ""}${last ? ", last tokens" : ""}`;
  return opCase(name, (m) => {
    const { heads, headWidth } = m.dims;
    const inner = heads * headWidth;
    const input = () =>
      m.input(inner, { values: m.values(m.count * inner, "normal").map((x) => (m.rng.bool(kept) ? x : 0)) });
    return {
      inputs: [input(), input(), input()],
      params: sink ? [m.dense("sink", [heads])] : [],
      run: (tape, [q, k, v], [s]) => {
        const y = ops.attention(tape, q!, k!, v!, sink ? denseOf(s) : null, heads);
        const { batch, length } = y.tokens;
        const ends = Int32Array.from({ length: batch }, (_, b) => (b + 1) * length - 1);
        return single(last ? ops.gatherTokens(tape, y, ends) : y);
      },
    };
  });
}

function lossCase(bias: boolean, bigram: boolean): OpCase {
  const parts = [bias ? "bias" : "", bigram ? "bigram" : ""].filter((part) => part !== "");
  return opCase(`unembedLoss${parts.length ? ` with ${parts.join(" and ")}` : ""}`, (m) => {
    const { width, other } = m.dims;
    const tokens = m.ids(m.count, other);
    const targets = m.ids(m.count, other).map((id) => (m.rng.bool(0.2) ? -1 : id));
    const params = [m.sparse("unembed", [other, width])];
    if (bias) params.push(m.dense("bias", [other]));
    if (bigram) params.push(m.dense("bigram", [other, other], { zeroGradFrom: (other - 1) * other }));
    return {
      inputs: [m.input(width)],
      params,
      run: (tape, [x], p) => {
        const logitsBias = bias ? denseOf(p[1]) : null;
        const table = bigram ? denseOf(p[bias ? 2 : 1]) : null;
        const args = { x: x!, unembed: sparseOf(p[0]), logitsBias, bigram: table, tokens, targets };
        return { outputs: [], losses: [ops.unembedLoss(tape, args)] };
      },
    };
  });
}

export const opCases: readonly OpCase[] = [
  opCase("embed", (m) => {
    const { width, other } = m.dims;
    const ids = m.ids(m.count, other);
    return {
      params: [m.sparse("table", [other, width])],
      run: (tape, _, [table]) => single(ops.embed(tape, sparseOf(table), ids, m.tokens)),
    };
  }),
  opCase("positions", (m) => {
    const { length, width } = m.dims;
    return {
      params: [m.dense("table", [length + 2, width], { zeroGradFrom: length * width })],
      run: (tape, _, [table]) => single(ops.positions(tape, denseOf(table), m.tokens)),
    };
  }),
  normCase("rms", false),
  normCase("layer", false),
  normCase("layer", true),
  opCase(
    "concat",
    (m) => ({
      inputs: [m.input(m.dims.width), m.input(m.dims.other)],
      run: (tape, [a, b]) => single(ops.concat(tape, a!, b!)),
    }),
    { exact: true },
  ),
  opCase("add", (m) => ({
    inputs: [m.input(m.dims.width), m.input(m.dims.width)],
    run: (tape, [a, b]) => single(ops.add(tape, a!, b!)),
  })),
  opCase("add of a value to itself", (m) => ({
    inputs: [m.input(m.dims.width)],
    run: (tape, [x]) => single(ops.add(tape, x!, x!)),
  })),
  opCase("residualAdd", (m) => ({
    inputs: [m.input(m.dims.width), m.input(m.dims.width)],
    run: (tape, [x, delta]) => single(ops.residualAdd(tape, x!, delta!)),
  })),
  linearCase(false, "row"),
  linearCase(true, "col"),
  linearCase(true, null),
  cutLinearCase(true, false, "row"),
  cutLinearCase(false, true, "row"),
  cutLinearCase(false, true, "col"),
  cutLinearCase(true, true, "col"),
  opCase("views", (m) => {
    const { width, other } = m.dims;
    return {
      inputs: [m.input(width + other + 3)],
      run: (tape, [x]) => {
        const [a, , c] = ops.views(tape, duplicate(tape, x!), [width, 3, other]);
        return { outputs: [a!, c!] };
      },
    };
  }),
  opCase("nonlinearity gelu", (m) => ({
    inputs: [m.input(m.dims.width, { values: m.values(m.count * m.dims.width, "normal").map((x) => 2 * x) })],
    run: (tape, [x]) => single(ops.nonlinearity(tape, "gelu", x!)),
  })),
  opCase(
    "nonlinearity relu",
    (m) => ({
      inputs: [m.input(m.dims.width)],
      run: (tape, [x]) => single(ops.nonlinearity(tape, "relu", x!)),
    }),
    { kinked: true },
  ),
  nonlinearityTopKCase("gelu"),
  nonlinearityTopKCase("relu"),
  absTopKCase(false),
  absTopKCase(true),
  opCase("mask", (m) => ({
    inputs: [m.input(m.dims.width)],
    params: [m.dense("mask", [m.dims.width]), m.dense("mean", [m.dims.width], { differentiable: false })],
    run: (tape, [x], [mask, mean]) => single(ops.mask(tape, x!, denseOf(mask), denseOf(mean))),
  })),
  opCase(
    "patch",
    (m) => {
      const where = Float32Array.from({ length: m.count * m.dims.width }, () => (m.rng.bool(0.3) ? 1 : 0));
      return {
        inputs: [
          m.input(m.dims.width),
          m.input(m.dims.width, { differentiable: false }),
          m.input(m.dims.width, { differentiable: false, values: where }),
        ],
        run: (tape, [x, values, at]) => single(ops.patch(tape, x!, values!, at!)),
      };
    },
    { exact: true },
  ),
  attentionCase(false),
  attentionCase(true),
  attentionCase(true, 0.25),
  attentionCase(true, 1, true),
  attentionCase(true, 0.25, true),
  lossCase(false, false),
  lossCase(true, false),
  lossCase(false, true),
  lossCase(true, true),
  opCase("gatherTokens", (m) => {
    const index = m.ids(m.dims.other, m.count);
    return {
      inputs: [m.input(m.dims.width)],
      run: (tape, [x]) => single(ops.gatherTokens(tape, x!, index)),
    };
  }),
  opCase("addRows", (m) => {
    const { width, other } = m.dims;
    const ids = m.ids(m.count, other);
    return {
      inputs: [m.input(width)],
      params: [m.dense("table", [other, width], { zeroGradFrom: (other - 1) * width })],
      run: (tape, [x], [table]) => {
        const out = duplicate(tape, x!);
        ops.addRows(tape, out, denseOf(table), ids);
        return single(out);
      },
    };
  }),
  opCase("addRow", (m) => ({
    inputs: [m.input(m.dims.width)],
    params: [m.dense("row", [m.dims.width])],
    run: (tape, [x], [row]) => {
      const out = duplicate(tape, x!);
      ops.addRow(tape, out, denseOf(row));
      return single(out);
    },
  })),
  opCase("pairLoss", (m) => {
    const vocabulary = m.dims.other + 1;
    const right = m.ids(m.count, vocabulary);
    const wrong = right.map((id) => (id + m.rng.int(1, vocabulary - 1)) % vocabulary);
    return {
      inputs: [
        m.input(vocabulary, {
          tokens: { batch: 1, length: m.count },
          values: m.values(m.count * vocabulary, "normal"),
        }),
      ],
      run: (tape, [logits]) => ({ outputs: [], losses: [ops.pairLoss(tape, logits!, right, wrong).mean] }),
    };
  }),
];
