/** `circuit compare` on circuits made by hand: what it prints, writes and refuses. */
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, it } from "vitest";
import { serializeCircuit } from "../../src/circuits/file.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { tokenizerToJson } from "../../src/data/tokenizer-json.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { createRun } from "../../src/runs/write.ts";
import { grammarOf, resolveTrainConfig, TRAIN_DEFAULTS } from "../../src/train/config.ts";
import { findTasks } from "../../tasks/index.ts";
import { withCurve } from "../circuits/support.ts";
import { checkpoint, env } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";
import { runCircuit } from "./programs.ts";

const temp = useTempDir();
const tokenizer = taskTokenizer(grammarOf(TRAIN_DEFAULTS), findTasks("quotes"));

/** A folder of circuits, of a circuit for each task with the edges of its curve at targets 0.5 and 0.1. */
function circuits(
  folder: string,
  edges: Readonly<Record<string, readonly [number, number]>>,
  over: Partial<Circuit> = {},
) {
  for (const [name, [loose, strict]] of Object.entries(edges)) {
    const circuit = withCurve({ 0.5: loose, 0.1: strict }, over);
    write(path.join(folder, name), { ...circuit, task: { ...circuit.task, name } });
  }
  return folder;
}

function write(folder: string, circuit: Circuit): void {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "circuit.json"), serializeCircuit(circuit));
}

/** A finished run that was trained for some tasks and has circuits of some. */
function trained(name: string, tasks: readonly string[], edges: Parameters<typeof circuits>[1], seed = 0): string {
  const config = resolveTrainConfig([{ task: "quotes", seed }]);
  const writer = createRun(temp(name), { config, env });
  writer.tokenizer(JSON.parse(tokenizerToJson(tokenizer)) as object);
  writer.checkpoint(checkpoint(1));
  writer.report({
    valLoss: 2.375,
    weights: { density: 1 / 64, nonzeros: 12345 },
    tasks: Object.fromEntries(tasks.map((task) => [task, {}])),
  });
  writer.finish();
  circuits(path.join(temp(name), "circuits"), edges);
  return temp(name);
}

async function compared(...args: readonly string[]) {
  const { code, stdout, stderr } = await runCircuit("compare", ...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { notices: lines.slice(0, -1).map(({ message }) => String(message)), done: lines.at(-1)! };
}

async function refusal(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCircuit("compare", ...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
  return stderr;
}

it("compares sizes, held-out losses and edges at equal task loss, as text, events and files", async () => {
  const [sparse, dense] = [
    trained("sparse", ["a", "b"], { a: [2, 10], b: [3, 10] }),
    circuits(temp("dense"), { a: [4, 20], b: [9, 80] }),
  ];
  const text = await runCircuit("compare", sparse, dense);
  expect({ code: text.code, stderr: text.stderr }).toEqual({ code: 0, stderr: "" });
  for (const words of [
    /a +12 \/ 9 +12 \/ 9/,
    /sparse +2\.375 +1\/64 +12,345 +9\.0 +- +-/,
    /dense +- +- +- +9\.0 +1\.0 +1\.0 to 1\.0/,
    /0\.1 +10\.0 +40\.0 \(4\.0x, 2\.0 to 8\.0\)/,
  ]) {
    expect(text.stdout).toMatch(words);
  }
  const { notices, done } = await compared(sparse, dense, "--out", temp("out"));
  expect(notices).toEqual([]);
  expect(done).toMatchObject({
    ...{ event: "done", tasks: ["a", "b"], leftOut: [], target: 0.15 },
    ablations: { [sparse]: ["mean"], [dense]: ["mean"] },
    runs: [
      { name: sparse, heldOutLoss: 2.375, density: 1 / 64, nonzeros: 12345, unsolved: [], ratio: null },
      {
        ...{ name: dense, heldOutLoss: null, density: null, nonzeros: null },
        circuits: { a: { nodes: 12, edges: 9, target: 0.15, solved: true, finished: true } },
        curve: [
          { target: 0.5, ratio: { mean: expect.closeTo(6 ** 0.5, 9) } },
          { target: 0.15 },
          { target: 0.1, edges: expect.closeTo(40, 9) },
        ],
      },
    ],
    files: ["compare.json", "curves.csv", "curves.svg"].map((name) => temp("out", name)),
  });
  const stored = JSON.parse(fs.readFileSync(temp("out", "compare.json"), "utf8")) as object;
  const { event: _, files: __, ...result } = done;
  expect(stored).toEqual({ format: "sparse-circuits/comparison", version: 1, ...result });
  const rows = fs.readFileSync(temp("out", "curves.csv"), "utf8").split("\r\n");
  expect(rows).toContain(`${dense},0.1,41.24318,40,4,2,8`);
  expect(fs.readFileSync(temp("out", "curves.svg"), "utf8")).toContain(
    "under mean ablation; geometric mean over 2 tasks",
  );
  const again = await compared(sparse, dense);
  expect({ ...again.done, files: done.files }, "the same numbers again").toEqual(done);
});

it("writes nothing unless asked to", async () => {
  const places = ["x", "y"].map((name) => circuits(temp(name), { a: [2, 10] }));
  await compared(...places);
  expect(fs.readdirSync(temp()).sort()).toEqual(["x", "y"]);
});

it("takes circuit.json and its folder, and has no interval for one task", async () => {
  const [x, y] = [circuits(temp("x"), { a: [2, 10] }), circuits(temp("y"), { a: [2, 30] })];
  const { done } = await compared(path.join(x, "a"), path.join(y, "a", "circuit.json"));
  const { curve } = (done.runs as { curve: unknown[] }[])[1]!;
  expect(curve.at(-1)).toMatchObject({ target: 0.1, ratio: { mean: expect.closeTo(3, 9), interval: null } });
  expect((await runCircuit("compare", x, y)).stdout).toContain("one task, so without intervals");
});

it("leaves the mean undefined when a run did not solve one of its tasks, and names the task", async () => {
  const x = trained("x", ["a", "b"], { a: [2, 10], b: [3, 10] });
  const y = trained("y", ["a", "b"], { a: [2, 20] });
  const { done } = await compared(x, y);
  expect(done.runs).toMatchObject([{ edges: 9 }, { edges: null, ratio: null, unsolved: ["b"], circuits: { b: null } }]);
  const { stdout } = await runCircuit("compare", x, y);
  expect(stdout).toMatch(/b +12 \/ 9 +no circuit/);
  expect(stdout).toContain(`${y} has no mean: 1 task not solved, b.`);
  expect(stdout).toContain("--task a");
  const one = await compared(x, y, "--task", "a");
  expect(one.done.runs).toMatchObject([{}, { edges: expect.closeTo(9, 9), unsolved: [] }]);

  write(
    path.join(y, "circuits", "b"),
    withCurve(
      { 0.5: 7 },
      { task: { ...withCurve({}).task, name: "b" }, taskLoss: { train: 0.1, val: 0.2, test: 0.2 } },
    ),
  );
  const missed = await runCircuit("compare", x, y);
  expect(missed.stdout).toMatch(/b +12 \/ 9 +12 \/ 9 misses 0\.15/);
  expect(missed.stdout).toMatch(/0\.5 +2\.4 +3\.7 \(1\.5x/);
});

it("names the tasks that are not those of all", async () => {
  const x = circuits(temp("x"), { a: [2, 10], b: [3, 10] });
  const y = trained("y", ["a", "c"], { a: [2, 20] });
  const { done } = await compared(x, y);
  expect(done).toMatchObject({
    tasks: ["a"],
    leftOut: [
      { task: "b", missing: [y] },
      { task: "c", missing: [x] },
    ],
  });
  expect((await runCircuit("compare", x, y)).stdout).toContain(`Left out: b, not a task of ${y}.`);
  expect(await refusal(x, circuits(temp("z"), { d: [1, 2] }))).toContain("no task to compare");
});

it("refuses different ablations unless asked, and warns of different targets and unfinished searches", async () => {
  const x = circuits(temp("x"), { a: [2, 10] });
  const { ablation: mean } = withCurve({});
  const zero = circuits(temp("zero"), { a: [2, 10] }, { ablation: { ...mean, kind: "zero" } });
  expect(await refusal(x, zero)).toMatch(/different ablations: .*x mean, .*zero zero\nhint: .*--any-ablation/);
  const frozen = circuits(temp("frozen"), { a: [2, 10] }, { ablation: { ...mean, frozenNorm: true } });
  expect(await refusal(x, frozen)).toContain("frozen mean with frozen norms");
  const any = await compared(x, zero, "--any-ablation");
  expect(any.notices).toEqual([expect.stringContaining("different ablations")]);
  const strict = circuits(temp("strict"), { a: [2, 10] }, { target: 0.12 });
  const targets = await compared(x, strict);
  expect(targets.notices).toEqual([expect.stringMatching(/different targets.*x a 0\.15, .*strict a 0\.12/)]);
  expect(targets.done).toMatchObject({ target: null, runs: [{ edges: null }, { edges: null, ratio: null }] });
  const { search, edges, counts } = withCurve({});
  const fewer = { edges: edges.slice(1), removedEdges: edges.slice(0, 1), counts: { ...counts, edges: 8 } };
  const edgewise = await compared(x, circuits(temp("edgewise"), { a: [2, 10] }, fewer));
  expect(edgewise.notices).toEqual([expect.stringMatching(/removed from the circuits of .*edgewise and not .*x$/)]);
  const stages = [...search.stages, { name: "stopped", nodesBefore: 1, nodesAfter: 1 }];
  const { notices, done } = await compared(x, circuits(temp("cut"), { a: [2, 10] }, { search: { ...search, stages } }));
  expect(notices).toEqual([expect.stringMatching(/search for a in .*cut was interrupted/)]);
  expect(done.runs).toMatchObject([{}, { circuits: { a: { finished: false } } }]);
});

it("says that held-out losses are of different text", async () => {
  const [x, y] = [trained("x", ["a"], { a: [2, 10] }), trained("y", ["a"], { a: [2, 10] }, 3)];
  expect((await compared(x, y)).notices).toEqual([
    expect.stringMatching(/different text: seed is 0 in .*x and 3 in .*y$/),
  ]);
});

it("refuses what cannot be compared", async () => {
  const x = circuits(temp("x"), { a: [2, 10] });
  expect(await refusal(x)).toContain(`${x} alone`);
  expect(await refusal(x, x)).toContain("twice");
  expect(await refusal(x, temp("none"))).toContain("there is no run at");
  fs.mkdirSync(temp("other"));
  fs.writeFileSync(temp("other", "file"), "");
  expect(await refusal(x, temp("other"))).toContain("neither a run nor a folder of circuits");
  expect(await refusal(x, trained("bare", ["a"], {}), "--task", "b")).toContain('"b"');
  circuits(x, { b: [1, 2] }, { model: { ...withCurve({}).model, weightsHash: "another" } });
  expect(await refusal(x, x.replace(/x$/, "./x"))).toContain("circuits of different models: a and b");
  fs.writeFileSync(path.join(x, "b", "circuit.json"), '{"format": "sparse-circuits/circ');
  expect(await refusal(temp("bare"), x)).toContain("cut short");
});

it("compares with a run that has no circuits yet, and says so", async () => {
  const [x, bare] = [circuits(temp("x"), { a: [2, 10] }), trained("bare", ["a"], {})];
  const { done } = await compared(x, bare, "--out", temp("out"));
  expect(done.runs).toMatchObject([{ edges: expect.closeTo(9, 9) }, { edges: null, unsolved: ["a"] }]);
});
