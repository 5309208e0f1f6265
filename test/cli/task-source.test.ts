/** A user's own task: read from a file, checked with lines, kept in the run and taken from there afterwards. */
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, it } from "vitest";
import { taskSource, tasksOf } from "../../src/cli/task-source.ts";
import { trainSettings } from "../../src/cli/train-config.ts";
import { checkTask } from "../../src/data/check-task.ts";
import { PROFILES } from "../../src/data/grammar.ts";
import { PairSource } from "../../src/data/pairs.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { openRun } from "../../src/runs/open.ts";
import { refused } from "../support/refused.ts";
import { useTempDir } from "../support/temp.ts";
import { run } from "./programs.ts";

const at = useTempDir();
const write = (name: string, text: string): string => {
  const file = at(name);
  fs.writeFileSync(file, text);
  return file;
};

const pairs = (count: number, extra: object = {}): string =>
  Array.from({ length: count }, (_, i) => {
    const prompt = (quote: string): string => `total = ${i}\nprint(${quote}é naïve`;
    const side = (quote: string) => ({ prompt: prompt(quote), target: `${quote})\n` });
    return JSON.stringify({ pos: side('"'), neg: side("'"), ...extra });
  }).join("\n");

const OWN = `
import { defineTask, type TaskSpec } from "sparse-circuits";
enum Quote { Double = '"', Single = "'" }
export default defineTask({
  name: "own_quotes",
  doc: "typed",
  focus: { quote: 5 },
  draft: (rng, env) => {
    const words = rng.sample(env.pools.words, 3).join(" ");
    const side = (q: Quote) => ({ prompt: \`print(\${q}\${words}\`, target: \`\${q})\\n\` });
    return { pos: side(Quote.Double), neg: side(Quote.Single) };
  },
} as Partial<TaskSpec> as TaskSpec);
`;

/** The check that training makes. */
async function check(file: string): Promise<void> {
  const { tasks } = await taskSource(file);
  for (const task of tasks) {
    const tokenizer = taskTokenizer(PROFILES.quotes, tasks);
    checkTask(new PairSource(task, tokenizer, { seed: 0, contextLength: 64 }));
  }
}

it("loads TypeScript, with types, enums and the package's own name", async () => {
  const file = write("own.ts", OWN);
  const { tasks, file: kept } = await taskSource(file);
  expect(tasks[0]).toMatchObject({ name: "own_quotes", group: "own_quotes", doc: "typed" });
  expect(kept).toEqual({ name: "own.ts", text: OWN });
  await check(file);
  const { config } = await trainSettings({ task: file });
  expect(config.data.weights).toEqual({ quote: 5 });
});

it("loads a plain object from JavaScript, named after the file", async () => {
  const side = (q: string): string => `{ prompt: "x = " + r.int(0, 99) + "\\nprint(${q}a", target: "${q})\\n" }`;
  const file = write("my task.mjs", `export default { draft: (r) => ({ pos: ${side("'")}, neg: ${side("`")} }) };`);
  expect((await taskSource(file)).tasks[0]!.name).toBe("my_task");
});

const same = `{ pos: { prompt: "a = (b", target: ")" }, neg: { prompt: "b = (b", target: ")" } }`;
it.each([
  ["syntax.ts", 'export default {\n  name: "x"\n  draft: 3 };', /syntax\.ts, line 3: Unexpected token/],
  ["field.ts", "export default { drafft() {} };", /unknown field "drafft"/],
  ["group.ts", 'export default { group: "qoutes", draft() {} };', /no group "qoutes"/],
  ["name.ts", 'export default { name: "bracket_counting", draft() {} };', /that of a built-in task/],
  ["import.ts", '\nimport { x } from "./other.ts";\nexport default x;', /import\.ts, line 2: Cannot find module/],
  [
    "throw.ts",
    "export default {\n draft(r, env) {\n return env.none.x; } };",
    /throw\.ts, line 3: Task throw: draft threw/,
  ],
  ["none.ts", "export const x = 1;", /no default export/],
  ["draft.ts", "export default { draft: () => ({ pos: 1 }) };", /Task draft: draft of .* field "pos"/],
  [
    "equal.ts",
    `export default { draft: () => (${same}) };`,
    /Task equal \(base, train pair 0\): the completion "\)" is the target/,
  ],
  [
    "random.ts",
    "export default { draft: () => { const x = 'x = ' + Math.floor(900 * Math.random()) + '\\n'; return " +
      '{ pos: { prompt: x + "f (a", target: ")" }, neg: { prompt: x + "f [a", target: "]" } }; } };',
    /drawn twice/,
  ],
  ["json.jsonl", `${pairs(3)}\n{"pos": 3`, /json\.jsonl, line 4 is not valid JSON/],
  ["lacks.jsonl", `${pairs(3)}\n\n{"pos": {"prompt": "a"}}`, /lacks\.jsonl, line 5: field "pos\.target"/],
  ["more.jsonl", `${pairs(1, { spilt: "val" })}`, /more\.jsonl, line 1: unknown field "spilt"/],
  ["split.jsonl", pairs(30, { split: "train" }), /no pair is in split val \(30 train, 0 val, 0 test\)/],
  [
    "twice.jsonl",
    `${pairs(1, { split: "val" })}\n${pairs(1, { split: "test" })}`,
    /line 2: the pair is in split test, and in val/,
  ],
  [
    "token.jsonl",
    pairs(60).replace(/"\)\\n(?=\W)/g, "two words"),
    /Task token \(.*token\.jsonl, line \d+\): the completion "\\two words" is not one token but /,
  ],
])("refuses %s", async (name, text, message) => {
  const error = await check(write(name, text)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(
    refused(() => {
      throw error;
    }).message,
  ).toMatch(message);
});

it("takes pairs as they are, each in one split", async () => {
  const { tasks } = await taskSource(write("given.jsonl", pairs(300)));
  const source = new PairSource(tasks[0]!, taskTokenizer(PROFILES.quotes, tasks), { seed: 3, contextLength: 64 });
  checkTask(source);
  const [train, val, test] = (["train", "val", "test"] as const).map((split) => source.size(split)) as [
    number,
    number,
    number,
  ];
  expect(train + val + test).toBe(300);
  expect(Math.min(val, test)).toBeGreaterThan(10);
  const pair = source.pair("val", 0);
  expect(pair.pos.prompt).toMatch(/^total = \d+\nprint\("é naïve$/);
  expect(source.pair("train", train).pos).toEqual(source.pair("train", 0).pos);
});

it("trains on a file and scores the run when the file is gone", { timeout: 60_000 }, async () => {
  for (const file of [write("moves.ts", OWN), write("moves.jsonl", pairs(200))]) {
    const out = at(`run-${path.extname(file).slice(1)}`);
    const settings = ["model.width=32", "model.layers=1", "training.batch=2", "data.bigramTokens=0"];
    const flags = settings.flatMap((setting) => ["--set", setting]);
    const trained = await run("train", "--task", file, "--steps", "2", "--out", out, ...flags);
    expect(trained.code).toBe(3);
    fs.rmSync(file);
    const scored = await run("eval", out, "--json");
    expect(scored.code).toBe(0);
    const stored = openRun(out);
    expect((await tasksOf(stored, String(stored.config.task)))[0]!.name).toMatch(/own_quotes|moves/);
  }
});

it("is shown, and its corpus and tokenizer are made, by the commands that take a task", async () => {
  const file = write("own.ts", OWN);
  const shown = await run("tasks", "show", file, "--n", "1", "--json");
  expect(JSON.parse(shown.stdout.split("\n")[0]!)).toMatchObject({ task: "own_quotes", pos: { target: '")\n' } });
  const corpus = await run("corpus", "show", "--task", file, "--n", "3");
  // The task asks for calls with strings and nothing else.
  for (const line of corpus.stdout.split("\n")) expect(line).toMatch(/^$|^document |^\w+\(["'].+["']\)$/);
  const stats = await run("corpus", "stats", "--task", file, "--tokens", "5000", "--json");
  expect(stats.code).toBe(0);
  expect(JSON.parse(stats.stdout)).toMatchObject({ stream: { unknown: 0 } });
});
