/**
 * `circuit edit` as a user meets it: changes that undo each other, what is kept and what is lost, and what is refused. Most
 * of it runs inside the test's own process, which saves the start of others.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCircuit, serializeCircuit } from "../../src/circuits/file.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { inShort } from "../../src/verify/verify.ts";
import { runCircuit as here } from "../cli/programs.ts";
import { FIXTURES } from "../support/fixtures.ts";
import { sampleCheck, sampleReport } from "../support/report.ts";
import { events, sparse, start } from "./cli.ts";

const TIMEOUT = 120_000;
/** Learns quotes in a few seconds. */
const LEARN = ["train", "--task", "quotes", "--steps", "300", "--density", "1/32", "--set", "model.width=48"];
const QUICK = ["--kicks", "0", "--gates", "0", "--no-curve", "--target", "0.4", "--no-verify"];
const TASK = "single_double_quote";
const FILE = `run/circuits/${TASK}/circuit.json`;

let dir = "";
const at = (...parts: string[]): string => path.join(dir, ...parts);
const circuit = (...args: string[]) => start("circuit", args, dir).ended;
const stored = (file: string): Circuit => parseCircuit(fs.readFileSync(at(file), "utf8"), file);

/** Runs `circuit edit`, which must succeed, and gives the circuit that it wrote. */
async function edited(out: string, ...args: string[]): Promise<Circuit> {
  const { code, stderr } = await here("edit", ...args, "--out", out);
  expect({ code, stderr: stderr.replace(/note: .*\n/g, "") }).toEqual({ code: 0, stderr: "" });
  return stored(`${out}/${TASK}/circuit.json`);
}

/** What an edit and its opposite must leave as it was. */
const content = ({ edits: _, search: __, calibrated: ___, ...rest }: Circuit) => rest;

/** A neuron without which the others keep their paths. */
function spareNeuron({ nodes, edges }: Circuit): string {
  const spare = nodes.find(({ id, site }) => {
    if (site !== "mlp.post_act") return false;
    const others = edges.filter((e) => e.source !== id && e.target !== id);
    return edges.every(
      (e) =>
        (e.source !== id || others.some((other) => other.target === e.target)) &&
        (e.target !== id || others.some((other) => other.source === e.source)),
    );
  });
  return spare!.id;
}

let original: Circuit;
let spare = "";

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-edit-"));
  expect((await sparse(dir, ...LEARN, "--out", "run")).code).toBe(0);
  process.chdir(dir);
  expect((await here("extract", "run", ...QUICK)).code).toBe(0);
  original = stored(FILE);
  spare = spareNeuron(original);
}, TIMEOUT);
afterAll(() => {
  process.chdir(import.meta.dirname);
  fs.rmSync(dir, { recursive: true, force: true });
});

describe("edits", { timeout: TIMEOUT }, () => {
  it("a node removed and added again is the same circuit with the same losses; same bytes each time", async () => {
    const bytes = fs.readFileSync(at(FILE), "utf8");
    const without = await edited("a", "run", "--remove", spare);
    expect(fs.readFileSync(at(FILE), "utf8"), "--out leaves the original").toBe(bytes);
    expect(without.nodes.map((n) => n.id)).toEqual(original.nodes.map((n) => n.id).filter((id) => id !== spare));
    expect(without.taskLoss.train! - original.taskLoss.train!).toBeCloseTo(
      original.nodes.find((n) => n.id === spare)!.importance!,
      5,
    );
    expect(without).toMatchObject({ calibrated: null, verification: null, search: { oneMinimal: false } });
    const { nodes, edges } = without.counts;
    expect(without.edits).toEqual([{ action: "remove", node: spare, nodes, edges, taskLoss: without.taskLoss }]);

    await edited("b", "run", "--remove", spare);
    const files = ["a", "b"].map((out) => fs.readFileSync(at(out, TASK, "circuit.json"), "utf8"));
    expect(files[0]).toBe(files[1]);

    const back = await edited("a", "run", "--circuits", "a", "--add", spare);
    expect(content(back)).toEqual(content(original));
    expect(back.edits.map(({ action, node }) => `${action} ${node}`)).toEqual([`remove ${spare}`, `add ${spare}`]);
  });

  it("a factor is in the table and in the figure, and 1 undoes it; labels stay, verdicts do not", async () => {
    const labelled = { ...original, nodes: original.nodes.map((n) => ({ ...n, label: `the ${n.id}` })) };
    const verification = inShort(sampleReport([sampleCheck("sufficiency")]));
    fs.cpSync(at("run"), at("labelled"), { recursive: true });
    fs.writeFileSync(at(`labelled/circuits/${TASK}/circuit.json`), serializeCircuit({ ...labelled, verification }));
    const before = fs.readFileSync(at(`labelled/circuits/${TASK}/circuit.json`), "utf8");
    const nothing = await here("edit", "labelled", "--scale", `${spare}=1`);
    expect([nothing.code, nothing.stdout]).toEqual([2, ""]);
    expect(nothing.stderr).toContain("nothing would change");
    expect(fs.readFileSync(at(`labelled/circuits/${TASK}/circuit.json`), "utf8")).toBe(before);
    const more = await circuit("edit", "labelled", "--scale", `${spare}=1.3`, "--json");
    expect({ code: more.code, stderr: more.stderr }).toEqual({ code: 0, stderr: "" });
    const lines = events(more.stdout);
    expect(lines.map((e) => e.event).filter((name) => name !== "notice")).toEqual(["start", "edit", "done"]);
    const scaled = stored(`labelled/circuits/${TASK}/circuit.json`);
    expect(lines.at(-1)).toMatchObject({ task: TASK, nodes: scaled.counts.nodes, dropped: [] });
    expect(scaled.nodes.filter((n) => n.scale !== undefined)).toMatchObject([{ id: spare, scale: 1.3 }]);
    expect(scaled.taskLoss).not.toEqual(original.taskLoss);
    expect(scaled.edges).toEqual(original.edges);

    const { stdout } = await here("show", "labelled");
    expect(stdout).toContain(`scaled ${spare} by 1.3`);
    expect(stdout).toContain(`${spare.split(":")[1]} ×1.3`);
    expect((await here("export", "labelled")).code).toBe(0);
    expect(fs.readFileSync(at(`labelled/circuits/${TASK}/${TASK}.svg`), "utf8")).toContain(' ×1.3"');
    const same = await edited("same", "labelled", "--scale", `${spare}=1`);
    expect(content(same)).toEqual(content(labelled));
  });

  it("options apply in the order given, in place, to nodes as figures name them, with a table of before and after; what has no path is dropped", async () => {
    fs.cpSync(at("run"), at("mixed"), { recursive: true });
    const { edges } = original;
    const targetsOf = (id: string): string[] => edges.filter((e) => e.source === id).map((e) => e.target);
    // A write that some node needs for its path, and that neuron does not.
    const write = edges.find(
      ({ source, target }) =>
        target.includes("resid_delta") && targetsOf(source).length === 1 && !targetsOf(spare).includes(target),
    )!.target;
    const args = ["--scale", `${spare.split(":")[1]}=2`, "--remove", write];
    const { code, stdout, stderr } = await here("edit", "mixed", ...args);
    expect(code).toBe(0);
    const after = stored(`mixed/circuits/${TASK}/circuit.json`);
    expect(after.edits.slice(0, 2)).toMatchObject([{ node: spare, factor: 2 }, { node: write }]);
    expect(after.edits).toHaveLength(1 + original.counts.nodes - after.counts.nodes);
    expect(after.edits.length).toBeGreaterThan(2);
    expect(stdout).toMatch(new RegExp(`nodes +${original.counts.nodes} +${after.counts.nodes}\\n`));
    expect(stdout).toMatch(/circuit verify mixed/);
    for (const { node } of after.edits.slice(2)) expect(stderr).toContain(node);
  });

  it("measures as the extraction did: variant, zeros, frozen norms, removed edges", async () => {
    const zero = ["--ablation", "zero", "--frozen-norm", "--prune-edges", "--variant", "strings@1"];
    expect((await here("extract", "run", ...zero, ...QUICK, "--out", "zero")).code).toBe(0);
    const folder = `${TASK}.strings@1`;
    const from = stored(`zero/${folder}/circuit.json`);
    const neuron = spareNeuron(from);
    const edit = async (out: string, ...args: string[]): Promise<Circuit> => {
      const { code, stdout } = await here("edit", "run", "--variant", "strings@1", ...args, "--out", out);
      expect(code).toBe(0);
      expect(stdout).toContain(`circuit verify run --variant strings@1 --circuits ${out}`);
      return stored(`${out}/${folder}/circuit.json`);
    };
    // Nothing else hangs on it, and without it zero is what it carries.
    const nothing = await edit("zero2", "--circuits", "zero", "--scale", `${neuron}=0`);
    const gone = await edit("zero3", "--circuits", "zero", "--remove", neuron);
    for (const split of ["train", "val", "test"] as const) {
      expect(nothing.taskLoss[split]).toBeCloseTo(gone.taskLoss[split]!, 5);
    }
    expect(content(await edit("zero2", "--circuits", "zero2", "--scale", `${neuron}=1`))).toEqual(content(from));
  });

  it("of a model that was trained elsewhere, with its pairs and the values that the extraction drew", async () => {
    const MODEL = path.join(FIXTURES, "pruning/model");
    const PAIRS = path.join(FIXTURES, "pruning/task.json");
    const drawn = ["--ablation", "resample", "--seed", "3", ...QUICK, "--out", "elsewhere"];
    expect((await here("extract", MODEL, "--pairs", PAIRS, ...drawn)).code).toBe(0);
    const from = stored("elsewhere/task/circuit.json");
    const { id } = from.nodes[0]!;
    for (const factor of [2, 1]) {
      const edit = ["edit", MODEL, "--pairs", PAIRS, "--circuits", "elsewhere", "--scale", `${id}=${factor}`];
      const { code, stdout } = await here(...edit);
      expect(code).toBe(0);
      expect(stdout).toContain(`circuit verify ${MODEL} --pairs ${PAIRS} --circuits elsewhere`);
    }
    expect(content(stored("elsewhere/task/circuit.json"))).toEqual(content(from));
    const other = await here("edit", "run", "--pairs", PAIRS, "--circuits", "elsewhere", "--remove", id);
    expect([other.code, other.stdout]).toEqual([2, ""]);
  });
});

describe("refuses", { timeout: TIMEOUT }, () => {
  it.each([
    [[], /no edit/, /--remove/],
    [["--scale", "0.mlp.post_act:1=much"], /--scale.*0\.mlp\.post_act:1=much/, /1\.3/],
    [["--scale", "0.mlp.post_act:1=Infinity"], /finite/, /1\.3/],
    [["--remove", "0.mlp.post_act"], /is not a node/, /nearest in the circuit/],
    [["--add", "0.mlp.post_act:100000"], /no node 0\.mlp\.post_act:100000/, /0\.mlp\.post_act:191/],
    [["--remov", "0.mlp.post_act:1"], /--remov/, /--remove/],
  ])("%j", async (args, message, hint) => {
    const { code, stdout, stderr } = await here("edit", "run", ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
    expect(stderr).not.toContain("    at ");
  });

  it("a circuit of other weights, or one that does not score as its file says", async () => {
    fs.cpSync(at("run"), at("other"), { recursive: true });
    const file = `other/circuits/${TASK}/circuit.json`;
    const write = (changed: Partial<Circuit>): void => {
      fs.writeFileSync(at(file), serializeCircuit({ ...original, ...changed }));
    };
    write({ model: { ...original.model, weightsHash: "0".repeat(64) } });
    const hash = await here("edit", "other", "--remove", spare);
    expect([hash.code, hash.stdout]).toEqual([2, ""]);
    expect(hash.stderr).toMatch(/another model/);
    write({ taskLoss: { ...original.taskLoss, test: original.taskLoss.test! + 0.1 } });
    const loss = await here("edit", "other", "--remove", spare);
    expect([loss.code, loss.stdout]).toEqual([2, ""]);
    expect(loss.stderr).toMatch(/test pairs/);
  });
});
