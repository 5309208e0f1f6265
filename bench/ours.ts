/** Our side of the benchmark, as a process: answers the requests that bench/torch_step.py answers for PyTorch. */
import { createInterface } from "node:readline";
import { createEngine } from "../src/engine/select.ts";
import { Model } from "../src/model/model.ts";
import { initParams } from "../src/model/names.ts";
import { Stepper } from "../src/train/step.ts";
import { assert } from "../src/util/errors.ts";
import { type Case, findCase, stepConfig } from "./cases.ts";
import type { StepAnswer } from "./sides.ts";

interface Init {
  readonly name: string;
  readonly density: number;
  readonly threads: number;
}

class Ours {
  readonly info: { readonly isa: string; readonly threads: number };
  private readonly benchCase: Case;
  private readonly stepper: Stepper;
  private done = 0;

  constructor({ name, density, threads }: Init) {
    const { engine } = createEngine({ engine: "native", threads });
    const { isa } = engine.info;
    this.info = { isa, threads };
    this.benchCase = findCase(name);
    const config = this.benchCase.model;
    const model = new Model(engine, { config, params: initParams(config, 0) });
    this.stepper = new Stepper(model, stepConfig(this.benchCase, density));
  }

  step(ids: readonly number[], targets: readonly number[]): StepAnswer {
    const batch = [Int32Array.from(ids), Int32Array.from(targets)] as const;
    const cpu = process.cpuUsage();
    const start = performance.now();
    const { loss } = this.stepper.step(this.done++, ...batch, this.benchCase.tokens);
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    return { ms, cpuMs: (user + system) / 1000, loss };
  }
}

let ours: Ours | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer: unknown;
  if (request.cmd === "init") {
    ours = new Ours(request);
    answer = ours.info;
  } else if (request.cmd === "step") {
    assert(ours, "a step before init");
    answer = ours.step(request.ids, request.targets);
  } else if (request.cmd === "peak") {
    answer = { peakMb: process.resourceUsage().maxRSS / 1024 };
  } else {
    throw new Error(`unknown command ${request.cmd}`);
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
