/**
 * Do both sides compute the same step? From the same weights, on the same batches, losses must agree after every step,
 * and in the end every parameter's number of nonzeros and norm. Run before anything is timed.
 *
 * Twice: at a density where exact zeros compete in AbsTopK, with our rule for ties on both sides; and the very code that
 * is timed, whose ties are in PyTorch's order, at a density where there are none.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../src/engine/engine.ts";
import { Model } from "../src/model/model.ts";
import { initParams, paramSpecs } from "../src/model/names.ts";
import { Stepper } from "../src/train/step.ts";
import { batchOf, type Case, findCase, stepConfig } from "./cases.ts";
import { type PeerSetup, startPeer } from "./sides.ts";

const STEPS = 8;
const TOLERANCE = 1e-3;
/** Large enough that a wrong update shows. */
const LR = 2e-2;

const TRIALS = [
  { density: 1 / 8, stable: true },
  { density: 1 / 2, stable: false },
] as const;

const near = (a: number, b: number): boolean => Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b), 1e-6);

/** Float32 values back to back, and beside them the list of names and shapes. */
function writeWeights(path: string, c: Case, params: ReadonlyMap<string, Float32Array>): void {
  const specs = paramSpecs(c.model).filter((spec) => spec.trained);
  writeFileSync(path, Buffer.concat(specs.map(({ name }) => new Uint8Array(params.get(name)!.buffer))));
  writeFileSync(`${path}.json`, JSON.stringify(specs.map(({ name, shape }) => [name, shape])));
}

async function trial(
  engine: Engine,
  python: string,
  c: Case,
  density: number,
  setup: PeerSetup,
): Promise<string | undefined> {
  const params = initParams(c.model, 1);
  writeWeights(setup.weights!, c, params);
  const model = new Model(engine, { config: c.model, params });
  const stepper = new Stepper(model, stepConfig(c, density, { lr: LR }));
  const peer = await startPeer(python, c, density, { ...setup, lr: LR });
  try {
    for (let i = 0; i < STEPS; i++) {
      const batch = batchOf(c, i);
      const ours = stepper.step(i, batch.ids, batch.targets, c.tokens).loss;
      const { loss: theirs } = await peer.step(batch);
      if (!near(ours, theirs)) return `loss of step ${i}: ${ours} here, ${theirs} in PyTorch`;
    }
    for (const [name, [nonzeros, norm]] of Object.entries(await peer.params())) {
      const values = engine.readParam(model.params.get(name)!, "value");
      const own = [values.reduce((n, x) => n + (x === 0 ? 0 : 1), 0), Math.hypot(...values)] as const;
      if (own[0] !== nonzeros || !near(own[1], norm)) {
        return `${name} after ${STEPS} steps: ${own[0]} nonzeros and norm ${own[1]} here, ${nonzeros} and ${norm} in PyTorch`;
      }
    }
    return undefined;
  } finally {
    await peer.close();
  }
}

/** Throws an Error that names the first difference. */
export async function checkAgreement(engine: Engine, python: string, setup: PeerSetup): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "sparse-bench-"));
  try {
    const c = findCase("tiny");
    for (const { density, stable } of TRIALS) {
      const difference = await trial(engine, python, c, density, { ...setup, stable, weights: join(dir, "weights") });
      if (difference) throw new Error(`The two sides do not compute the same step (density ${density}): ${difference}`);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
