/** What `sparse tasks` and `sparse corpus show` print. */
import { describe, expect, it } from "vitest";
import { pairTexts } from "../../src/cli/highlight.ts";
import { styleOf } from "../../src/cli/render.ts";
import { TASKS } from "../../tasks/index.ts";
import { run } from "./programs.ts";

async function events(...argv: readonly string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await run(...argv, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("tasks", () => {
  it("lists every task with a pair", async () => {
    const { code, stdout } = await run("tasks");
    expect(code).toBe(0);
    for (const { name, group } of TASKS) {
      expect(stdout).toMatch(new RegExp(`^${group}$`, "m"));
      expect(stdout).toMatch(new RegExp(`^  ${name}\\b.*:.*\n( .*⟨.+⟩\n){2} +variants base, far`, "m"));
    }
    const listed = await events("tasks");
    expect(listed.map(({ task }) => task)).toEqual([...TASKS.map(({ name }) => name), undefined]);
    expect(listed[0]).toMatchObject({ group: "quotes", example: { pos: { target: '")\n' }, neg: { target: "')\n" } } });
  });

  it("shows pairs, the same for the same seed", async () => {
    const args = ["tasks", "show", "var_swap", "--n", "2", "--variant", "far"];
    const { stdout } = await run(...args, "--seed", "7");
    expect(stdout.match(/var_swap, far, train pair \d: \d+ tokens/g)).toHaveLength(2);
    expect(stdout.match(/⟦(\w+)⟧,⟦ (\w+)⟧ =⟦ \2⟧,⟨ \1⟩/g)).toHaveLength(4);
    expect((await run(...args, "--seed", "7")).stdout).toBe(stdout);
    expect((await run(...args, "--seed", "8")).stdout).not.toBe(stdout);
    const [first] = await events(...args, "--split", "test");
    expect(first).toMatchObject({ event: "pair", task: "var_swap", variant: "far", split: "test", index: 0 });
  });

  it.each([
    [["tasks", "show"], "missing required argument"],
    [["tasks", "show", "var_swop"], '"var_swap"'],
    [["tasks", "show", "quotes", "--variant", "fra"], '"far"'],
    [["tasks", "show", "quotes", "--split", "tset"], "test"],
    [["tasks", "show", "quotes", "--n", "0"], "nearest valid value is 1"],
    [["corpus", "show", "--profile", "ful"], '"full"'],
    [["corpus", "show", "--profile", "full", "--task", "quotes"], "cannot be used with"],
    [["corpus", "shwo"], '"show"'],
  ])("refuses %j", async (argv, says) => {
    const { code, stdout, stderr } = await run(...argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
    expect(stderr).toContain(says);
  });

  it("marks what differs, with colours too where there are some", () => {
    const draft = { pos: { prompt: 'load("red', target: '")\n' }, neg: { prompt: "load('red", target: "')\n" } };
    expect(pairTexts(draft, styleOf(false))).toEqual(['load⟦("⟧red⟨")⏎⟩', "load⟦('⟧red⟨')⏎⟩"]);
    const [coloured] = pairTexts(draft, styleOf(true));
    expect(coloured).toContain("\u001b[");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
    expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe('load⟦("⟧red⟨")⏎⟩');
  });
});

describe("corpus show", () => {
  it("marks the decisions of a document", async () => {
    const { stdout } = await run("corpus", "show", "--profile", "full", "--n", "30");
    expect(stdout.match(/^document \d+: \d+ decisions?$/gm)).toHaveLength(30);
    expect(stdout).toMatch(/^ *\w+⟦\.add⟧\(.+\) {3}← set_or_string: not ⟨ \+=⟩/m);
    expect(stdout).toMatch(/with open\(.*"⟦r⟧"\)⟦ as⟧ file: {3}← with_open: not ⟨w⟩; with_as: not ⟨ if⟩$/m);
    expect(stdout).toMatch(/^⟦ {3}⟧ .*← indent_for: not ⟨ {7}⟩/m);
  });

  it("prints nothing but the program but for the marks", async () => {
    const [document, ...rest] = await events("corpus", "show", "--profile", "full", "--n", "1", "--seed", "3");
    expect(rest).toMatchObject([{ event: "done", documents: 1 }]);
    const { text, marks } = document as { text: string; marks: { offset: number; right: string; wrong: string }[] };
    for (const { offset, right, wrong } of marks) {
      expect(text.startsWith(right, offset)).toBe(true);
      expect(right).not.toBe(wrong);
    }
    const { stdout } = await run("corpus", "show", "--profile", "full", "--n", "1", "--seed", "3");
    const bare = stdout
      .replace(/^document.*\n/, "")
      .replace(/ {3}← .*$/gm, "")
      .replace(/⏎⟧/g, "⟧")
      .replace(/[⟦⟧]/g, "");
    expect(bare).toBe(`${text}\n`);
  });

  it("with a task shows its decisions only", async () => {
    const documents = await events("corpus", "show", "--task", "var_swap", "--n", "20");
    const tasks = documents.flatMap(({ marks }) => ((marks ?? []) as { task: string }[]).map(({ task }) => task));
    expect(new Set(tasks)).toEqual(new Set(["var_swap"]));
    expect(tasks.length).toBeGreaterThan(10);
  });
});
