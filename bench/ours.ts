/** Our side of the benchmark, as a process: answers the requests that bench/torch_step.py answers for PyTorch. */
import { createInterface } from "node:readline";
import type { Engine, EngineInfo } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/select.ts";
import { Model } from "../src/model/model.ts";
import { initParams } from "../src/model/names.ts";
import { weightSparsity } from "../src/train/statistics.ts";
import { Stepper } from "../src/train/step.ts";
import { assert } from "../src/util/errors.ts";
import type { StepAnswer } from "./alternate.ts";
import { type Batch, batchOf, stepConfig } from "./cases.ts";
import { PruningStep } from "./pruning-step.ts";
import type { Init } from "./sides.ts";

/** Training steps before a model is pruned: it has its density from the first on. */
const PRUNED_AFTER = 3;

class Ours {
  readonly info: EngineInfo;
  private readonly model: Model;
  private readonly run: (batch: Batch) => number;

  constructor(engine: Engine, { case: c, density, mode, work }: Init) {
    this.info = engine.info;
    this.model = new Model(engine, { config: c.model, params: initParams(c.model, 0) });
    const stepper = new Stepper(this.model, stepConfig(c, density, { mode }));
    let done = 0;
    const train = ({ ids, targets }: Batch): number => stepper.step(done++, ids, targets, c.tokens).loss;
    if (work === "pruning") {
      for (let i = 0; i < PRUNED_AFTER; i++) train(batchOf(c, i));
      const pruning = new PruningStep(this.model, c.tokens);
      this.run = ({ ids }) => pruning.step(ids);
    } else {
      this.run = train;
    }
  }

  step(ids: readonly number[], targets: readonly number[]): StepAnswer {
    const batch = { ids: Int32Array.from(ids), targets: Int32Array.from(targets) };
    const cpu = process.cpuUsage();
    const start = performance.now();
    const loss = this.run(batch);
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    return { ms, cpuMs: (user + system) / 1000, loss };
  }

  size(): { nonzeros: number; bytes: number } {
    return { nonzeros: weightSparsity(this.model).nonzeros, bytes: this.model.engine.memoryBytes() };
  }
}

let ours: Ours | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer: unknown;
  if (request.cmd === "init") {
    const { engine } = await createEngine(request as Init);
    ours = new Ours(engine, request);
    answer = ours.info;
  } else if (request.cmd === "peak") {
    answer = { peakMb: process.resourceUsage().maxRSS / 1024 };
  } else {
    assert(ours, `${request.cmd} before init`);
    if (request.cmd === "step") answer = ours.step(request.ids, request.targets);
    else if (request.cmd === "size") answer = ours.size();
    else throw new Error(`unknown command ${request.cmd}`);
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
