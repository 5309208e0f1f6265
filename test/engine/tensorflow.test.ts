/**
 * The TensorFlow.js engine beyond what the suites of all engines ask: selection by search, training beside the native
 * engine, memory, and what the user is told when a backend is missing or does not start.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Engine, Protect } from "../../src/engine/engine.ts";
import { keepLargest } from "../../src/engine/reference/projection.ts";
import { createEngine } from "../../src/engine/select.ts";
import { projectionMask, type Selection } from "../../src/engine/tensorflow/largest.ts";
import { resolveTrainConfig, stepConfigOf } from "../../src/train/config.ts";
import { inputsAndTargets } from "../../src/train/evaluate.ts";
import { Stepper } from "../../src/train/step.ts";
import { initialModel, TrainingData } from "../../src/train/trainer.ts";
import { SparseError } from "../../src/util/errors.ts";
import { findTasks } from "../../tasks/index.ts";
import { run } from "../cli/programs.ts";
import { events } from "../e2e/cli.ts";
import { tensorflows } from "../support/engines.ts";
import { checkProperty } from "../support/property.ts";
import { useTempDir } from "../support/temp.ts";

/** A preset's little sister. */
const SMALL = {
  "model.width": 32,
  "model.contextLength": 64,
  "training.lr": 0.04,
  "training.density": "1/8",
  "logging.evalEvery": 40,
  "logging.evalTokens": 1024,
};

const data = new TrainingData(
  resolveTrainConfig([
    {
      model: { width: 16, layers: 1, contextLength: 48, activationFraction: 1 / 2, sink: true, bigram: "none" },
      training: { steps: 60, lr: 0.04 },
      data: { bigramTokens: 0 },
    },
  ]),
  findTasks("quotes"),
);

/** Losses of a model that is trained as the command line does. */
function* training(engine: Engine): Generator<number> {
  const { config } = data;
  const stepper = new Stepper(initialModel(engine, data), stepConfigOf(config));
  const stream = data.stream("train");
  const tokens = { batch: 2, length: config.model.contextLength };
  for (let i = 0; i < config.training.steps; i++) {
    const { ids, targets } = inputsAndTargets(stream.batch(tokens.batch, tokens.length));
    yield stepper.step(i, ids, targets, tokens).loss;
  }
}

function first(n: number, losses: Iterable<number>): number[] {
  const found: number[] = [];
  for (const loss of losses) if (found.push(loss) === n) break;
  return found;
}

const matrixArbitrary = fc.record({
  rows: fc.integer({ min: 1, max: 12 }),
  cols: fc.integer({ min: 1, max: 12 }),
  protect: fc.constantFrom<Protect>("row", "col", null),
  minPerNeuron: fc.integer({ min: 0, max: 4 }),
  keep: fc.double({ min: 0, max: 1, noNaN: true }),
  values: fc.array(
    fc.oneof(
      fc.constantFrom(0, 0.5, -0.5, 1, 2 ** 127, 2 ** -126, 1 + 2 ** -23),
      fc.float({ noNaN: true, noDefaultInfinity: true }).filter((x) => x === 0 || Math.abs(x) >= 2 ** -126),
    ),
    { minLength: 144, maxLength: 144 },
  ),
});

describe.each(tensorflows)("$name", ({ open }) => {
  test.each<Selection>(["sort", "search"])("the projection by %s keeps what the rule keeps", (selection) => {
    const engine = open();
    // A first kernel makes the backend the one that runs.
    engine.nonzeros(engine.dense("p", [1]));
    checkProperty(matrixArbitrary, 60, ({ rows, cols, protect, minPerNeuron, keep, values }) => {
      const size = rows * cols;
      const k = Math.min(Math.floor(keep * size), size - 1);
      const w = Float32Array.from(values.slice(0, size));
      const kept = tf.tidy(() =>
        Array.from(projectionMask(tf.tensor2d(w, [rows, cols]), k, protect, minPerNeuron, selection).dataSync()),
      );
      expect(kept).toEqual(Array.from(keepLargest(w, [rows, cols], k, protect, minPerNeuron)));
    });
    engine.dispose();
  });

  test("tensors and bytes are flat over 60 steps, and gone in the end", () => {
    const before = tf.memory().numTensors;
    const engine = open();
    let held: tf.MemoryInfo | undefined;
    let i = 0;
    for (const loss of training(engine)) {
      expect(loss).toBeLessThan(8);
      if (i++ < 2) held = tf.memory();
      else expect(tf.memory()).toMatchObject({ numTensors: held!.numTensors, numBytes: held!.numBytes });
    }
    engine.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("quotes are learned along the native engine's losses", async () => {
    const { engine: native } = await createEngine({ engine: "auto" });
    const subject = open();
    const expected = first(50, training(native));
    const actual = first(50, training(subject));
    for (const [i, loss] of actual.entries()) expect(Math.abs(loss / expected[i]! - 1), `step ${i}`).toBeLessThan(1e-3);
    expect(actual.at(-1)).toBeLessThan(0.8 * actual[0]!);
    native.dispose();
    subject.dispose();
  });
});

describe("what the user is told", () => {
  const at = useTempDir();
  afterEach(() => vi.unstubAllEnvs());

  test("of a backend that is not installed: what to install, what it needs, what else there is", async () => {
    const { code, stderr } = await run(
      "train",
      "--task",
      "quotes",
      "--engine",
      "tensorflow:node-gpu",
      "--out",
      at("run"),
    );
    expect(code).toBe(2);
    for (const word of [
      "node-gpu is not installed",
      "npm install @tensorflow/tfjs-node-gpu",
      "CUDA 11.2",
      "cuDNN 8.1",
    ]) {
      expect(stderr).toContain(word);
    }
    expect(stderr).toMatch(/Node 20 or 22.*--engine native/);
  });

  test("of a backend that does not start: the reason and the next best, and nothing else runs instead", async () => {
    const folder = at("node_modules/@tensorflow/tfjs-node-gpu");
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/package.json`, JSON.stringify({ name: "@tensorflow/tfjs-node-gpu", main: "index.js" }));
    writeFileSync(`${folder}/index.js`, 'throw new Error("libcudart.so.11.0: cannot open shared object file")');
    const child = spawnSync(
      process.execPath,
      [
        "--import",
        "tsx",
        "src/cli/sparse.ts",
        "train",
        "--task",
        "quotes",
        "--engine",
        "tensorflow",
        "--out",
        at("run"),
      ],
      { encoding: "utf8", env: { ...process.env, NODE_PATH: at("node_modules") } },
    );
    expect(child.status).toBe(2);
    expect(child.stderr).toContain("node-gpu does not start: libcudart.so.11.0: cannot open shared object file");
    expect(child.stderr).toMatch(/--engine native, or --engine tensorflow:\w+/);
    expect(child.stdout).not.toContain("engine");
  });

  test("of a backend that there is not: those that there are", async () => {
    const { code, stderr } = await run("train", "--task", "quotes", "--engine", "tensorflow:cuda");
    expect(code).toBe(2);
    expect(stderr).toContain("tensorflow:node-gpu");
    await expect(createEngine({ engine: "tensorflow", threads: 0 })).rejects.toThrow(SparseError);
  });
});

test("nothing of TensorFlow.js is loaded before it is asked for", () => {
  const program = pathToFileURL("src/cli/program.ts").href;
  const commands = ["train", "extract"].map((name) => pathToFileURL(`src/cli/commands/${name}.ts`).href);
  const code = `
    import { Module } from "node:module";
    for (const file of ${JSON.stringify([program, ...commands])}) await import(file);
    console.log(Object.keys(Module._cache).filter((file) => file.includes("tensorflow")).length);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
    encoding: "utf8",
  });
  expect({ stdout, stderr }).toEqual({ stdout: "0\n", stderr: "" });
});

describe("a whole run on the WebAssembly backend", () => {
  const at = useTempDir();

  test.runIf(tensorflows.some(({ name }) => name === "tensorflow-wasm"))(
    "ends where that of the native engine ends",
    { timeout: 240_000 },
    async () => {
      const settings = Object.entries(SMALL).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
      const args = ["--task", "quotes", "--steps", "40", "--json", ...settings];
      const ended = async (engine: string) => {
        const { code, stdout, stderr } = await run(
          "train",
          ...args,
          "--engine",
          engine,
          "--out",
          at(engine.slice(0, 6)),
        );
        // The run is whole, and too short to learn the task.
        expect({ code, isShort: stderr.includes("not learned") }).toEqual({ code: 3, isShort: true });
        return events(stdout).at(-1)!;
      };
      const [actual, expected] = [await ended("tensorflow:wasm"), await ended("native")];
      expect(actual).toMatchObject({ event: "done", engine: "tensorflow", isa: "wasm" });
      expect(expected).toMatchObject({ engine: "native" });
      expect(Math.abs(Number(actual.valLoss) / Number(expected.valLoss) - 1)).toBeLessThan(1e-3);
    },
  );
});
