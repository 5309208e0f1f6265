/**
 * `circuit` as a user meets it: from a run that learned its task to the exports, and what goes wrong on the way. What is
 * not about processes (a second time, other options, refusals) runs inside the test's own, which saves their start.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parseCircuit } from "../../src/circuits/file.ts";
import { stopRunningJob } from "../../src/cli/interrupt.ts";
import { ALL_CHECKS } from "../../src/verify/verify.ts";
import { runCircuit as here } from "../cli/programs.ts";
import { pruningFixture } from "../prune/pruning-fixture.ts";
import { FIXTURES } from "../support/fixtures.ts";
import { events, sparse, start } from "./cli.ts";

const TIMEOUT = 240_000;
/** A search that is over soon, and nothing else. */
const QUICK = ["--kicks", "0", "--gates", "0", "--no-curve", "--no-verify"];
/** Learns quotes in a few seconds. */
const LEARN = ["train", "--task", "quotes", "--steps", "300", "--density", "1/32", "--set", "model.width=48"];

let dir = "";
const at = (...parts: string[]): string => path.join(dir, ...parts);
const circuit = (...args: string[]) => start("circuit", args, dir).ended;
/** A small model of the parity fixtures, and its task. */
const MODEL = path.join(FIXTURES, "pruning/model");
const PAIRS = path.join(FIXTURES, "pruning/task.json");
const FOLDER = "run/circuits/single_double_quote";

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-e2e-"));
  const { code, stderr } = await sparse(dir, ...LEARN, "--out", "run");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  process.chdir(dir);
}, TIMEOUT);
afterAll(() => {
  process.chdir(import.meta.dirname);
  fs.rmSync(dir, { recursive: true, force: true });
});

it(
  "extracts, shows and exports",
  async () => {
    const first = await circuit("extract", "run", "--kicks", "1", "--json");
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    const lines = events(first.stdout);
    const done = lines[lines.length - 1]!;
    expect(done).toMatchObject({ event: "done", task: "single_double_quote" });
    const fields = ["nodes", "edges", "edgesPerMatrix", "taskLoss", "calibrated", "fullTaskLoss", "seeds", "seconds"];
    for (const field of fields) expect(done, field).toHaveProperty(field);
    expect(done.verification).toMatchObject({ form: "short", verdicts: { sufficiency: "pass" } });
    const text = fs.readFileSync(at(FOLDER, "circuit.json"), "utf8");
    const stored = parseCircuit(text, "circuit.json");
    expect(stored.taskLoss.val).toBeLessThanOrEqual(0.15);
    expect(stored.search.oneMinimal).toBe(true);
    expect(stored.verification?.summary).toContain("sufficient");
    expect(fs.readFileSync(at(FOLDER, "report.html"), "utf8")).toContain("<html");
    expect([stored.counts.nodes, stored.counts.edges]).toEqual([done.nodes, done.edges]);

    // A label outlives another extraction, which else writes the same bytes.
    const { id } = stored.nodes[0]!;
    expect((await circuit("label", "run", id, "first of all")).stdout).toContain("report.html");
    expect(fs.readFileSync(at(FOLDER, "report.html"), "utf8")).toContain(`${id} (first of all)`);
    const search = fs.readFileSync(at(FOLDER, "search.json"), "utf8");
    expect((await here("extract", "run", "--kicks", "1")).code).toBe(0);
    expect(fs.readFileSync(at(FOLDER, "report.html"), "utf8")).toContain(`${id} (first of all)`);
    expect((await here("label", "run", `${id}=`)).stdout).toContain("no labels");
    expect(fs.readFileSync(at(FOLDER, "circuit.json"), "utf8"), "the same bytes again").toBe(text);
    expect(fs.readFileSync(at(FOLDER, "search.json"), "utf8"), "the same bytes again").toBe(search);

    const shown = await circuit("show", "run");
    expect(shown.code).toBe(0);
    for (const node of stored.nodes) expect(shown.stdout).toContain(`${node.layer}.${node.site}`);
    const exported = await circuit("export", "run", "--format", "all", "--out", "figures");
    expect(exported.code).toBe(0);
    const figures = [".svg", ".pdf", ".png", ".tex"];
    const graphs = [".dot", ".graphml", ".gexf", ".json"];
    const tables = ["nodes.csv", "edges.csv", "links.csv", "tokens.csv", "nodes.tex", "edges.tex"].map((s) => `.${s}`);
    const suffixes = [...figures, ...graphs, ...tables];
    expect(fs.readdirSync(at("figures")).sort()).toEqual(suffixes.map((s) => `single_double_quote${s}`).sort());
    const forced = await here("export", FOLDER, "--layout", "force", "--out", "figures");
    expect(forced.code).toBe(0);
    expect(fs.readFileSync(at("figures/single_double_quote.force.svg"), "utf8")).toMatch(/^<svg/);
  },
  TIMEOUT,
);

it(
  "plots what the nodes of a circuit carry",
  async () => {
    const plotted = await circuit("plot", "run", "--format", "svg,pdf", "--out", "plots");
    expect({ code: plotted.code, stderr: plotted.stderr }).toEqual({ code: 0, stderr: "" });
    const { nodes } = parseCircuit(fs.readFileSync(at(FOLDER, "circuit.json"), "utf8"), "circuit.json");
    const [, ...rows] = fs.readFileSync(at("plots", "single_double_quote.activations.csv"), "utf8").split("\r\n");
    const drawn = new Set(rows.map((row) => row.split(",")[0]!));
    expect(nodes.map(({ id }): string => id).filter((id) => drawn.has(id))).toHaveLength(Math.min(nodes.length, 24));
  },
  TIMEOUT,
);

it(
  "exports the circuit on prompts: figures and attribution graphs, the same bytes again",
  async () => {
    const files = (folder: string): Record<string, Buffer> =>
      Object.fromEntries(
        [at(folder), at(folder, "attribution")].flatMap((dir) =>
          fs
            .readdirSync(dir, { withFileTypes: true })
            .filter((f) => f.isFile())
            .map((f) => [f.name, fs.readFileSync(path.join(dir, f.name))] as const),
        ),
      );
    const pair = (formats: string) => ["export", "run", "--pair", "3", "--format", formats, "--out"];
    const own = [
      "export",
      "run",
      "--prompt",
      "print('hello",
      "--format",
      "svg,attribution",
      "--layout",
      "code",
      "--out",
    ];
    for (const args of [pair("all"), own]) {
      const { code, stderr } = await circuit(...args, "unrolled");
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
    for (const args of [pair("svg,pdf,attribution"), own]) expect((await here(...args, "again-unrolled")).code).toBe(0);
    const written = files("unrolled");
    const names = ["a", "b"].flatMap((side) => [
      ...[".svg", ".pdf", ".png", ".tex"].map((s) => `single_double_quote.pair-3-${side}${s}`),
      `single-double-quote-base-pair-3-${side}.json`,
    ]);
    expect(Object.keys(written)).toEqual(expect.arrayContaining([...names, "graph-metadata.json"]));
    expect(Object.keys(written).join()).toMatch(/single_double_quote\.code\.prompt-[0-9a-f]{8}\.svg/);
    const again = files("again-unrolled");
    expect(Object.keys(again)).toEqual(expect.arrayContaining(names.filter((name) => !/png|tex/.test(name))));
    for (const [name, content] of Object.entries(again)) expect(content.equals(written[name]!), name).toBe(true);
    const { graphs } = JSON.parse(String(written["graph-metadata.json"])) as { graphs: { slug: string }[] };
    expect(graphs.map((g) => g.slug.replace(/[0-9a-f]{8}$/, "HASH"))).toEqual([
      "single-double-quote-base-pair-3-a",
      "single-double-quote-base-pair-3-b",
      "single-double-quote-base-prompt-HASH",
    ]);
  },
  TIMEOUT,
);

describe("refuses", () => {
  it.each([
    [["extract", "nowhere"], /no run at nowhere/, /sparse train/],
    [["extract", "run", "--target", "0.9"], /--target/, /0\.15/],
    [["extract", "run", "--task", "qoutes"], /qoutes/, /quotes/],
    [["extract", "run", "--sed", "1"], /--sed/, /--seed/],
    [["export", "run", "--format", "svgg"], /svgg/, /svg/],
    [["export", "run", "--layout", "fource"], /fource/, /force/],
    [["export", "run", "--pair", "100000"], /--pair 100000/, /from 0 to \d+/],
    [["export", "run", "--pair", "-1"], /--pair/, /0/],
    [["export", "run", "--pair", "0", "--prompt", "x"], /--prompt.*--pair/, /--help/],
    [["export", "run", "--prompt", ""], /--prompt is empty/, /--prompt/],
    [["export", "run", "--prompt", "x ".repeat(500)], /--prompt has \d+ tokens/, /Shorten/],
    [["export", "run", "--prompt", "漢"], /"漢"/, /no such text/],
    [["export", "run", "--prompt", "x", "--format", "csv"], /csv/, /without --prompt/],
    [["export", "run", "--prompt", "x", "--layout", "force"], /force/, /--layout/],
    [["export", "run", "--layout", "code"], /over the text of a prompt/, /--pair 0/],
    [["export", "run", "--format", "attribution"], /attribution/, /--pair 0/],
    [["export", FOLDER, "--pair", "0"], /without its run/, /Give the run/],
    [["label", "run", "V.0.99999", "x"], /"V.0.99999" is not a node/, /nearest in the circuit/],
    [["show", "nowhere"], /nowhere/, /sparse train/],
    [["overview", "nowhere"], /no run at nowhere/, /sparse train/],
    [["overview", "run", "--format", "tikz"], /"tikz" of an overview/, /Did you mean/],
    [["overview", "run", "--palette", "gray"], /--palette/, /print/],
    [["overview", "run", "--task", "brackets"], /no circuit of task bracket_/, /circuit extract/],
  ])("%j", async (args, message, hint) => {
    const { code, stdout, stderr } = await here(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
    expect(stderr).not.toContain("    at ");
  });

  it("a damaged circuit and a damaged model", async () => {
    fs.cpSync(at("run"), at("damaged"), { recursive: true });
    fs.mkdirSync(at("damaged/circuits/single_double_quote"), { recursive: true });
    fs.writeFileSync(at("damaged/circuits/single_double_quote/circuit.json"), '{"format": "sparse-circuits/circ');
    const shown = await here("show", "damaged");
    expect([shown.code, shown.stdout]).toEqual([2, ""]);
    fs.truncateSync(at("damaged/checkpoints/step-000300/model.safetensors"), 1000);
    const extracted = await here("extract", "damaged");
    expect(extracted.code).toBe(2);
    expect(extracted.stderr).toContain("model.safetensors");
  });
});

it(
  "says honestly when the model does not do the task",
  async () => {
    const trained = await sparse(dir, ...LEARN, "--steps", "20", "--out", "unlearned");
    expect(trained.code).toBe(3);
    const { code, stderr } = await circuit("extract", "unlearned");
    expect(code).toBe(3);
    expect(stderr).toMatch(/full model's task loss is 0\.\d+/);
    expect(fs.existsSync(at("unlearned/circuits/single_double_quote/circuit.json"))).toBe(false);
  },
  TIMEOUT,
);

it(
  "verifies again: some checks, the same bytes, and an exit code on request",
  async () => {
    expect((await here("extract", "run", ...QUICK, "--out", "own")).code).toBe(0);
    const before = fs.readFileSync(at("own/single_double_quote/circuit.json"), "utf8");
    expect(parseCircuit(before, "circuit.json").verification).toBe(null);
    const verify = ["verify", "run", "--circuits", "own", "--checks", "sufficiency,necessity,other-ablations"];
    const { code, stdout, stderr } = await circuit(...verify, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = fs.readFileSync(at("own/single_double_quote/report.json"), "utf8");
    const found = events(stdout).find(({ event }) => event === "verification")!;
    expect((found.checks as { name: string }[]).map(({ name }) => name)).toEqual([
      "sufficiency",
      "necessity",
      "other ablations",
    ]);
    expect(found.summary).toMatch(/sufficient.*not run: weight necessity/);
    const after = parseCircuit(fs.readFileSync(at("own/single_double_quote/circuit.json"), "utf8"), "circuit.json");
    expect(after.verification?.checks.map(({ verdict }) => verdict)).toContain("pass");
    expect({ ...after, verification: null }).toEqual(parseCircuit(before, "circuit.json"));

    const strict = await here(...verify, "--strict");
    expect(strict.code).toBe(strict.stdout.includes("fail ") ? 3 : 0);
    expect(fs.readFileSync(at("own/single_double_quote/report.json"), "utf8"), "the same bytes again").toBe(report);
    const file = at("own/single_double_quote/circuit.json");
    fs.writeFileSync(file, before);
    const { run } = ALL_CHECKS["other ablations"];
    const interrupted = vi.spyOn(ALL_CHECKS["other ablations"], "run").mockImplementation((lab) => {
      stopRunningJob();
      return run(lab);
    });
    const cut = await here(...verify, "--peers", "run");
    interrupted.mockRestore();
    expect(cut.code).toBe(130);
    expect(cut.stderr).toContain("--peers is for the check stability");
    expect(cut.stderr).toMatch(/finished are kept\n.* --circuits own --checks other-ablations\n/);
    const partial = parseCircuit(fs.readFileSync(file, "utf8"), file).verification!;
    expect(partial.checks).toEqual(after.verification!.checks.filter(({ name }) => name !== "other ablations"));
    expect(partial.summary).toContain("interrupted before other ablations");
    expect((await here(...verify.slice(0, 4), "--checks", "other-ablations")).code).toBe(0);
    expect(fs.readFileSync(at("own/single_double_quote/report.json"), "utf8"), "the same bytes in two parts").toBe(
      report,
    );

    const unknown = await here("verify", "run", "--checks", "sufficency");
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('Did you mean "sufficiency"');
    expect((await here("verify", "run", "--circuits", "figures")).stderr).toContain("circuit extract run");
  },
  TIMEOUT,
);

describe("a model that was trained elsewhere", { timeout: TIMEOUT }, () => {
  it("is searched with pairs of token ids", async () => {
    const { code, stdout } = await circuit("extract", MODEL, "--pairs", PAIRS, "--out", "elsewhere", "--json");
    expect(code).toBe(0);
    const done = events(stdout).pop()!;
    expect(done.nodes).toBeLessThanOrEqual(10);
    expect(done.edges).toBeLessThanOrEqual(7);
    const stored = parseCircuit(fs.readFileSync(at("elsewhere/task/circuit.json"), "utf8"), "circuit.json");
    const { planted, specs } = pruningFixture();
    for (const { layer, site, channel, id } of stored.nodes) {
      const { offset } = specs.find((spec) => spec.layer === layer && spec.site === site)!;
      expect(planted[offset + channel], id).toBe(1);
    }
    expect((await here("show", "elsewhere/task")).stdout).toContain("10 nodes, 7 edges");

    // On a prompt, with token ids for texts.
    const drawn = ["export", MODEL, "--pairs", PAIRS, "--circuits", "elsewhere", "--format", "svg", "--out", "drawn"];
    expect((await here(...drawn, "--pair", "0")).code).toBe(0);
    const ids = JSON.parse(fs.readFileSync(PAIRS, "utf8")).tokens[6].slice(0, 2) as number[];
    expect(fs.readFileSync(at("drawn/task.pair-0-a.svg"), "utf8")).toContain(
      `prompt &lt;${ids[0]}&gt;&lt;${ids[1]}&gt;`,
    );
    expect((await here(...drawn, "--prompt", "1 2, 3")).code).toBe(0);
    const wrong = await here(...drawn, "--prompt", "1 two");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('received "two"');
    expect((await here("export", "elsewhere/task", "--pair", "0")).stderr).toContain("--pairs FILE.json");
  });

  const task = JSON.parse(fs.readFileSync(PAIRS, "utf8"));
  it.each([
    ["not JSON", "{", /json/i],
    ["no pairs", JSON.stringify({ ...task, tokens: [], last: [], right: [], wrong: [] }), /0 pairs are too few/],
    ["lists of other lengths", JSON.stringify({ ...task, last: task.last.slice(1) }), /last has 63 entries/],
    ["a token that the model does not know", JSON.stringify({ ...task, right: task.right.map(() => 999) }), /999/],
    ["the same answers", JSON.stringify({ ...task, right: task.wrong }), /must differ/],
    ["no text for means", JSON.stringify({ ...task, mean_batch_tokens: undefined }), /mean_batch_tokens/],
  ])("refuses %s", async (_, text, message) => {
    fs.writeFileSync(at("pairs.json"), text);
    const { code, stderr } = await here("extract", MODEL, "--pairs", "pairs.json", "--out", "refused");
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/at .*:\d+:\d+/);
  });
});

describe("other ways to extract", { timeout: TIMEOUT }, () => {
  it("a budget too small for one pass gives the best so far, marked", async () => {
    // Measuring what is left of a larger model takes long: it is nearly all of it.
    const { stdout } = await here("extract", MODEL, "--pairs", PAIRS, "--budget", "0.01s", "--out", "short");
    expect(stdout).toContain("search not finished");
    const stored = parseCircuit(fs.readFileSync(at("short/task/circuit.json"), "utf8"), "circuit.json");
    expect(stored.search.oneMinimal).toBe(false);
    expect(stored.search.stages.map((stage) => stage.name)).toContain("stopped");
  });

  it("keeps to frozen norms, zeros, tied queries and keys, fewer edges, and a variant", async () => {
    const flags = ["--frozen-norm", "--ablation", "zero", "--tied-qk", "--prune-edges", "--variant", "strings@1"];
    const { code, stderr } = await here("extract", "run", ...flags, ...QUICK, "--target", "0.4", "--out", "other");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const file = at("other/single_double_quote.strings@1/circuit.json");
    const stored = parseCircuit(fs.readFileSync(file, "utf8"), "circuit.json");
    expect(stored.ablation).toMatchObject({ kind: "zero", draws: 1, frozenNorm: true });
    expect(stored.task.variant).toBe("strings@1");
    expect(stored.taskLoss.val).toBeLessThanOrEqual(0.4);
    expect(stored.search.stages.map((stage) => stage.name)).toContain("edges");
    expect(stored.counts.edges).toBe(stored.edges.length);
  });

  it("all tasks of a run at the same time: the same circuits as one by one, a table, the mean and the curves", async () => {
    const learn = ["train", "--task", "brackets", "--steps", "300", "--density", "1/32", "--set", "model.width=48"];
    expect((await sparse(dir, ...learn, "--out", "brackets")).code).toBe(3);
    const flags = ["--kicks", "0", "--gates", "0", "--target", "0.5"];
    const all = await circuit("extract", "brackets", "--task", "all", ...flags, "--jobs", "2");
    expect({ code: all.code, stderr: all.stderr }).toEqual({ code: 0, stderr: "" });
    expect(all.stdout).toMatch(/geometric mean of edges over 2 tasks: \d/);
    expect(all.stdout).toMatch(/written .+\n {2}verified: .+\n( {2}.+\n)+ {2}next: circuit show brackets\n/);
    const summaries = [...all.stdout.matchAll(/^ {2}verified: [\s\S]+?(?=\n {2}next)/gm)].flatMap(([text]) =>
      text.split("\n"),
    );
    expect(Math.max(...summaries.map((line) => line.length))).toBeLessThanOrEqual(120);
    for (const name of ["curves.json", "curves.csv", "curves.svg"]) {
      expect(fs.existsSync(at("brackets/circuits", name)), name).toBe(true);
    }
    const one = ["--task", "bracket_brace", "--no-verify", "--threads", "2", "--out", "alone"];
    expect((await here("extract", "brackets", ...flags, ...one)).code).toBe(0);
    const [both, alone] = ["brackets/circuits", "alone"].map((folder) =>
      parseCircuit(fs.readFileSync(at(folder, "bracket_brace/circuit.json"), "utf8"), folder),
    );
    expect({ ...both, verification: null }).toEqual(alone);

    const seen = await here("overview", "brackets", "--format", "all", "--json");
    expect({ code: seen.code, stderr: seen.stderr }).toEqual({ code: 0, stderr: "" });
    const told = events(seen.stdout).at(-1)!;
    const stored = ["bracket_brace", "bracket_counting"].map((name) =>
      parseCircuit(fs.readFileSync(at("brackets/circuits", name, "circuit.json"), "utf8"), name),
    );
    expect(told.circuits).toMatchObject(stored.map(({ counts: { nodes, edges } }) => ({ nodes, edges })));
    const files = ["svg", "pdf", "png", "gexf", "json", "circuits.csv", "pairs.csv", "used-by.csv"];
    expect(told.files).toEqual(files.map((ending) => path.join("brackets", "circuits", `overview.${ending}`)));
    const ids = stored.flatMap(({ nodes }) => nodes.map(({ id }) => `id="${id}"`));
    const svg = fs.readFileSync(at("brackets/circuits/overview.svg"), "utf8");
    expect(ids.filter((id) => !svg.includes(id))).toEqual([]);
  });
});
