/** `circuit` as a user meets it: from a run that learned its task to the exports, and what goes wrong on the way. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCircuit } from "../../src/circuits/file.ts";
import { events, sparse, start } from "./cli.ts";

const TIMEOUT = 120_000;
/** Learns quotes in a few seconds. */
const LEARN = ["train", "--task", "quotes", "--steps", "300", "--density", "1/32", "--set", "model.width=48"];

let dir = "";
const at = (...parts: string[]): string => path.join(dir, ...parts);
const circuit = (...args: string[]) => start("circuit", args, dir).ended;
const FOLDER = "run/circuits/single_double_quote";

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-e2e-"));
  const { code, stderr } = await sparse(dir, ...LEARN, "--out", "run");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
}, TIMEOUT);
afterAll(() => {
  fs.rmSync(dir, { recursive: true, force: true });
});

it(
  "extracts, shows and exports",
  async () => {
    const first = await circuit("extract", "run", "--kicks", "3", "--json");
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    const lines = events(first.stdout);
    const done = lines[lines.length - 1]!;
    expect(done).toMatchObject({ event: "done", task: "single_double_quote" });
    const fields = ["nodes", "edges", "edgesPerMatrix", "taskLoss", "calibrated", "fullTaskLoss", "seeds", "seconds"];
    for (const field of fields) expect(done, field).toHaveProperty(field);
    const text = fs.readFileSync(at(FOLDER, "circuit.json"), "utf8");
    const stored = parseCircuit(text, "circuit.json");
    expect(stored.taskLoss.val).toBeLessThanOrEqual(0.15);
    expect(stored.search.oneMinimal).toBe(true);
    expect([stored.counts.nodes, stored.counts.edges]).toEqual([done.nodes, done.edges]);

    const search = fs.readFileSync(at(FOLDER, "search.json"), "utf8");
    expect((await circuit("extract", "run", "--kicks", "3")).code).toBe(0);
    expect(fs.readFileSync(at(FOLDER, "circuit.json"), "utf8"), "the same bytes again").toBe(text);
    expect(fs.readFileSync(at(FOLDER, "search.json"), "utf8"), "the same bytes again").toBe(search);

    const shown = await circuit("show", "run");
    expect(shown.code).toBe(0);
    for (const node of stored.nodes) expect(shown.stdout).toContain(`${node.layer}.${node.site}`);
    const exported = await circuit("export", "run", "--format", "all", "--out", "figures");
    expect(exported.code).toBe(0);
    const suffixes = [".svg", ".dot", ".gexf", ".json", ".nodes.csv", ".edges.csv", ".links.csv", ".tokens.csv"];
    expect(fs.readdirSync(at("figures")).sort()).toEqual(suffixes.map((s) => `single_double_quote${s}`).sort());
    const forced = await circuit("export", FOLDER, "--layout", "force", "--out", "figures");
    expect(forced.code).toBe(0);
    expect(fs.readFileSync(at("figures/single_double_quote.force.svg"), "utf8")).toMatch(/^<svg/);
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
    [["show", "nowhere"], /nowhere/, /sparse train/],
  ])("%j", async (args, message, hint) => {
    const { code, stdout, stderr } = await circuit(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
    expect(stderr).not.toContain("    at ");
  });

  it("a damaged circuit and a damaged model", async () => {
    fs.cpSync(at("run"), at("damaged"), { recursive: true });
    fs.mkdirSync(at("damaged/circuits/single_double_quote"), { recursive: true });
    fs.writeFileSync(at("damaged/circuits/single_double_quote/circuit.json"), '{"format": "sparse-circuits/circ');
    const shown = await circuit("show", "damaged");
    expect([shown.code, shown.stdout]).toEqual([2, ""]);
    fs.truncateSync(at("damaged/checkpoints/step-000300/model.safetensors"), 1000);
    const extracted = await circuit("extract", "damaged");
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
