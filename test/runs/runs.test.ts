/** Run directories written and read back: files, checkpoints, resuming, models. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { loadModelFolder, saveModelFolder } from "../../src/model/checkpoint.ts";
import { latestCheckpoint, listCheckpoints, readCheckpoint } from "../../src/runs/checkpoints.ts";
import { circuitPath, parseStepName, runPaths, stepName } from "../../src/runs/layout.ts";
import { MetricsWriter } from "../../src/runs/metrics.ts";
import { loadModel, openRun, readEnv, readMetrics, readReport, readTokenizer } from "../../src/runs/open.ts";
import { type RunWriter, resumeRun } from "../../src/runs/write.ts";
import { FIXTURES, folders } from "../support/fixtures.ts";
import { refused } from "../support/refused.ts";
import { checkpoint, config, finishedRun, params, startRun, WTE_NAME } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();

const create = (name = "run"): RunWriter => startRun(at(name), name);

describe("a run", () => {
  it("is written and read back", () => {
    const run = create();
    run.log({ step: 0, loss: 2.5, note: "warm" });
    run.log({ step: 1, loss: Number.NaN });
    run.checkpoint(checkpoint(2));
    run.tokenizer({ tokens: ["a", "b"] });
    run.report({ loss: 1.25 });
    expect(fs.existsSync(run.paths.done)).toBe(false);
    run.finish();
    const opened = openRun(at("run"));
    expect(opened.finished).toBe(true);
    expect(opened.config).toEqual({ lr: 0.5, name: "run" });
    expect(readEnv(opened)).toMatchObject({ format: "sparse-circuits/env", seed: 11, node: process.version });
    expect(readReport(opened)).toMatchObject({ loss: 1.25 });
    expect(readTokenizer(opened)).toEqual({ tokens: ["a", "b"] });
    expect(readMetrics(opened)).toEqual([
      { step: 0, loss: 2.5, note: "warm" },
      { step: 1, loss: null },
    ]);
    expect(fs.readdirSync(at("run")).filter((f) => f.startsWith("events.out.tfevents")).length).toBe(1);
    expect(opened.checkpoint).toEqual({ step: 2, dir: at("run", "checkpoints", "step-000002") });
    expect(fs.readdirSync(at())).toEqual(["run"]);
  });

  it("may stand in folders that do not exist yet, or be an empty folder", () => {
    fs.mkdirSync(at("empty"));
    create("empty").finish();
    create("a/b/c").finish();
    expect(openRun(at("a/b/c")).finished).toBe(true);
  });

  it("keeps its circuits in folders by task, and refuses names that lead elsewhere", () => {
    expect(circuitPath("runs/x", "quotes", "circuit.json")).toBe(
      path.join("runs", "x", "circuits", "quotes", "circuit.json"),
    );
    for (const name of ["..", "a/b", "", ".hidden", "a\\b"]) refused(() => circuitPath("runs/x", name));
    refused(() => circuitPath("runs/x", "quotes", ".."));
  });
});

describe("opening", () => {
  it("a run that is missing says how to make it", () => {
    const error = refused(() => openRun(at("none")));
    expect(error.code).toBe("run-missing");
    expect(error.hint).toContain(`sparse train --out ${at("none")}`);
  });

  it("an unfinished run names its last checkpoint", () => {
    const run = create();
    expect(refused(() => openRun(at("run"))).message).toContain("no checkpoint");
    run.checkpoint(checkpoint(500));
    run.checkpoint(checkpoint(1000));
    run.close();
    const error = refused(() => openRun(at("run")));
    expect(error.code).toBe("run-unfinished");
    expect(error.message).toContain("last checkpoint is step 1000");
    expect(error.hint).toContain("--resume");
    expect(openRun(at("run"), { allowUnfinished: true }).finished).toBe(false);
  });

  it("refuses newer formats with a hint", () => {
    finishedRun(at("run"), "run");
    const file = runPaths(at("run")).config;
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"version": 1', '"version": 2'));
    const error = refused(() => openRun(at("run")));
    expect(error.code).toBe("newer-version");
    expect(error.hint).toContain("Update");
  });

  it("refuses what is not a run", () => {
    fs.mkdirSync(at("other"));
    fs.writeFileSync(at("other", "notes.txt"), "");
    expect(refused(() => openRun(at("other"))).code).toBe("not-a-run");
    expect(refused(() => openRun(at("other", "notes.txt"))).code).toBe("not-a-run");
    saveModelFolder(at("model"), { config, params });
    expect(refused(() => openRun(at("model"))).hint).toContain("model folder");
  });

  it("passes over a torn last line of metrics, but not a damaged one before", () => {
    const run = create();
    run.log({ step: 0 });
    run.finish();
    fs.appendFileSync(run.paths.metrics, '{"step":1,"lo');
    expect(readMetrics(openRun(at("run")))).toEqual([{ step: 0 }]);
    fs.appendFileSync(run.paths.metrics, "\n");
    expect(refused(() => readMetrics(openRun(at("run")))).message).toContain("line 2");
  });

  it.skipIf(!fs.existsSync("/dev/full"))("says so when the disk fills up", () => {
    fs.symlinkSync("/dev/full", at("metrics.jsonl"));
    const metrics = new MetricsWriter(at("metrics.jsonl"), 0);
    const error = refused(() => metrics.append({ step: 0 }));
    expect(error.message).toContain("the disk is full");
    expect(error.message).toContain(at("metrics.jsonl"));
    metrics.close();
  });
});

describe("checkpoints", () => {
  it("hold the model, the moments and the state", () => {
    const run = create();
    const { dir } = run.checkpoint(checkpoint(500));
    expect(path.basename(dir)).toBe("step-000500");
    const read = readCheckpoint(dir);
    expect(read).toMatchObject(checkpoint(500));
    expect([...read.moments.m.keys()]).toEqual([WTE_NAME]);
    expect(loadModelFolder(dir)).toEqual({ config, params });
    run.close();
  });

  it("of the same content have the same bytes", () => {
    const bytes = (name: string): Buffer[] => {
      const run = create(name);
      const { dir } = run.checkpoint(checkpoint(3));
      run.close();
      return fs
        .readdirSync(dir)
        .sort()
        .map((file) => fs.readFileSync(path.join(dir, file)));
    };
    expect(bytes("one")).toEqual(bytes("two"));
  });

  it("that are unfinished or foreign are passed over", () => {
    const run = create();
    run.checkpoint(checkpoint(5));
    run.close();
    const dir = run.paths.checkpoints;
    fs.cpSync(path.join(dir, "step-000005"), path.join(dir, ".step-000009.tmp-0123abcd"), { recursive: true });
    fs.mkdirSync(path.join(dir, "step-000007"));
    fs.mkdirSync(path.join(dir, "step-x"));
    expect(listCheckpoints(at("run")).map((c) => c.step)).toEqual([5]);
    resumeRun(at("run")).writer.close();
    expect(fs.readdirSync(dir).sort()).toEqual(["step-000005", "step-000007", "step-x"]);
  });

  it("sort by step, also beyond six digits", () => {
    expect([500, 1_000_000, 20_000_000].map(stepName)).toEqual(["step-000500", "step-1000000", "step-20000000"]);
    expect(["step-000500", "step-20000000", "step-5", "step-00050x"].map(parseStepName)).toEqual([
      500,
      20_000_000,
      undefined,
      undefined,
    ]);
    const run = create();
    for (const step of [1_000_000, 999_999]) run.checkpoint(checkpoint(step));
    run.close();
    expect(latestCheckpoint(at("run"))?.step).toBe(1_000_000);
  });

  it("are refused when a file is damaged, naming it", () => {
    const run = create();
    const { dir } = run.checkpoint(checkpoint(5));
    run.close();
    const file = path.join(dir, "optimizer.safetensors");
    fs.truncateSync(file, fs.statSync(file).size - 1);
    expect(refused(() => resumeRun(at("run"))).message).toContain("optimizer.safetensors");
  });
});

describe("resuming", () => {
  it("gives the same records and files as never having stopped", () => {
    const log = (run: RunWriter, from: number, to: number): void => {
      for (let step = from; step < to; step++) run.log({ step, loss: step / 2 });
    };
    const whole = create("whole");
    log(whole, 0, 3);
    whole.checkpoint(checkpoint(3));
    log(whole, 3, 6);
    whole.finish();
    const stopped = create("stopped");
    log(stopped, 0, 3);
    stopped.checkpoint(checkpoint(3));
    log(stopped, 3, 5);
    stopped.close();
    fs.appendFileSync(stopped.paths.metrics, '{"step":5,"to');
    const { writer, checkpoint: from, config: runConfig } = resumeRun(at("stopped"));
    expect(from.step).toBe(3);
    expect(from.state).toEqual({ cursor: 3, rng: [1, 2, 3, 4] });
    expect(runConfig).toEqual({ lr: 0.5, name: "stopped" });
    log(writer, 3, 6);
    writer.finish();
    expect(fs.readFileSync(writer.paths.metrics)).toEqual(fs.readFileSync(whole.paths.metrics));
  });

  it("needs an unfinished run with a checkpoint", () => {
    const run = create();
    run.close();
    expect(refused(() => resumeRun(at("run"))).code).toBe("no-checkpoint");
    finishedRun(at("done"), "done");
    expect(refused(() => resumeRun(at("done"))).code).toBe("run-finished");
  });
});

describe("models", () => {
  it("load from a run, a checkpoint, a model folder and a release", () => {
    finishedRun(at("run"), "run");
    saveModelFolder(at("model"), { config, params });
    for (const dir of [at("run"), at("run", "checkpoints", "step-000001"), at("model")]) {
      expect(loadModel(dir)).toEqual({ config, params });
    }
    const release = path.join(FIXTURES, "checkpoints", folders("a-", "checkpoints")[0]!);
    expect(loadModel(release).params.has("lm_head.weight")).toBe(true);
  });

  it("are refused with what is wrong", () => {
    expect(refused(() => loadModel(at("none"))).code).toBe("model-missing");
    fs.mkdirSync(at("empty"));
    expect(refused(() => loadModel(at("empty"))).code).toBe("not-a-model");
    create().close();
    expect(refused(() => loadModel(at("run"))).code).toBe("no-checkpoint");
    saveModelFolder(at("model"), { config, params });
    expect(refused(() => saveModelFolder(at("model"), { config, params })).message).toContain(at("model"));
    const file = at("model", "config.json");
    const text = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, text.replace('"version": 1', '"version": 7'));
    expect(refused(() => loadModel(at("model"))).hint).toContain("Update");
    fs.writeFileSync(file, text.replace('"layers": 1', '"layers": 2'));
    expect(refused(() => loadModel(at("model"))).message).toContain("transformer.h.1.ln_1.weight is missing");
    fs.writeFileSync(file, text.replace('"layers": 1', '"layer": 1'));
    expect(refused(() => loadModel(at("model"))).hint).toContain('"layers"');
  });
});
