/** What a new run may replace, and that neither force nor a kill loses anything finished. */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { latestCheckpoint, readCheckpoint } from "../../src/runs/checkpoints.ts";
import { replacedPath } from "../../src/runs/layout.ts";
import { openRun, readMetrics } from "../../src/runs/open.ts";
import { createRun, resumeRun } from "../../src/runs/write.ts";
import { refused } from "../support/refused.ts";
import { env, finishedRun, startRun } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();

describe("creating over something", () => {
  const name = (dir: string): unknown => openRun(dir, { allowUnfinished: true }).config.name;

  it("is refused without force, and changes nothing", () => {
    finishedRun(at("run"), "run");
    const error = refused(() => startRun(at("run"), "run"));
    expect(error.code).toBe("run-exists");
    expect(error.hint).toContain("--force");
    expect(openRun(at("run")).checkpoint?.step).toBe(1);
    const unfinished = startRun(at("unfinished"), "unfinished");
    unfinished.close();
    expect(refused(() => startRun(at("unfinished"), "unfinished")).hint).toContain("--resume");
  });

  it("is refused for anything that is not a run, even with force", () => {
    fs.mkdirSync(at("run"));
    fs.writeFileSync(at("run", "thesis.tex"), "years of work");
    expect(refused(() => startRun(at("run"), "run", true)).code).toBe("not-a-run");
    fs.writeFileSync(at("run", "config.json"), "{}");
    expect(refused(() => startRun(at("run"), "run", true)).code).toBe("not-a-run");
    expect(fs.readFileSync(at("run", "thesis.tex"), "utf8")).toBe("years of work");
  });

  it("with force keeps the old run until the new one is finished", () => {
    finishedRun(at("run"), "run");
    const kept = replacedPath(at("run"));
    const run = createRun(at("run"), { config: { name: "new" }, env, force: true });
    expect(name(at("run"))).toBe("new");
    expect(openRun(kept).config.name).toBe("run");
    expect(refused(() => openRun(at("run"))).hint).toContain(kept);
    run.finish();
    expect(fs.existsSync(kept)).toBe(false);
    expect(openRun(at("run")).config.name).toBe("new");
    expect(fs.readdirSync(at())).toEqual(["run"]);
  });

  it("with force gives the place back when the new run ends before its first checkpoint", () => {
    finishedRun(at("run"), "run");
    const failed = createRun(at("run"), { config: { name: "failed" }, env, force: true });
    failed.log({ step: 1, loss: 2 });
    failed.close();
    expect(openRun(at("run")).config.name).toBe("run");
    expect(fs.readdirSync(at())).toEqual(["run"]);
  });

  it("with force twice keeps the finished run, not the failed one", () => {
    finishedRun(at("run"), "run");
    createRun(at("run"), { config: { name: "failed" }, env, force: true }).close();
    const run = createRun(at("run"), { config: { name: "third" }, env, force: true });
    expect(openRun(replacedPath(at("run"))).config.name).toBe("run");
    run.finish();
    expect(openRun(at("run")).config.name).toBe("third");
    expect(fs.readdirSync(at())).toEqual(["run"]);
  });

  it("with force loses nothing when the first files cannot be written", () => {
    finishedRun(at("run"), "run");
    const broken = {
      get name(): string {
        throw new Error("disk gone");
      },
    };
    expect(() => createRun(at("run"), { config: broken, env, force: true })).toThrow("disk gone");
    expect(openRun(at("run")).finished).toBe(true);
    expect(fs.readdirSync(at())).toEqual(["run"]);
  });

  it("puts the old run back after a kill between the two renames", () => {
    finishedRun(at("run"), "run");
    fs.renameSync(at("run"), replacedPath(at("run")));
    expect(openRun(at("run")).config.name).toBe("run");
    fs.renameSync(at("run"), replacedPath(at("run")));
    expect(refused(() => startRun(at("run"), "run")).code).toBe("run-exists");
  });
});

it("a killed run always has a whole newest checkpoint, and resumes", async () => {
  const script = fileURLToPath(new URL("../support/write-checkpoints.ts", import.meta.url));
  let steps = 0;
  for (const delayMs of [0, 3, 7, 12]) {
    const child = spawn(process.execPath, ["--import", "tsx", script, at("run")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => setTimeout(() => child.kill("SIGKILL"), delayMs));
      child.once("exit", (_, signal) => (signal === "SIGKILL" ? resolve() : reject(new Error("it ended by itself"))));
    });
    const newest = latestCheckpoint(at("run"));
    const read = readCheckpoint(newest!.dir);
    expect(read.state).toEqual({ cursor: newest!.step });
    expect(newest!.step).toBeGreaterThan(steps);
    steps = newest!.step;
  }
  const { writer } = resumeRun(at("run"));
  expect(readMetrics(openRun(at("run"), { allowUnfinished: true })).map((row) => row.step)).toEqual([
    ...Array(steps).keys(),
  ]);
  writer.finish();
}, 30_000);
