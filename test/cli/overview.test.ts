/** `circuit overview`: what it writes, says and refuses. Of circuits that were extracted: test/e2e/circuit.test.ts. */
import * as fs from "node:fs";
import * as path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { serializeCircuit } from "../../src/circuits/file.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { circuitStructure } from "../../src/circuits/structure.ts";
import { type CommandModule, execute } from "../../src/cli/program.ts";
import { weightsHash } from "../../src/model/params.ts";
import { emptyCircuit, exampleCircuit, randomKept } from "../circuits/support.ts";
import { config, finishedRun, params } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";
import { type Printed, recorder } from "./programs.ts";

const temp = useTempDir();
const RUN = (): string => temp("all");
beforeEach(() => finishedRun(RUN(), "all"));

async function overview(...args: string[]): Promise<Printed> {
  const { out, text } = recorder({ json: args.includes("--json") });
  const load = () => import("../../src/cli/commands/overview.ts") as Promise<CommandModule>;
  const program = { name: "circuit", description: "", examples: [["circuit", ""]] as const };
  const commands = [{ name: "overview", summary: "", load }];
  await execute({ ...program, commands }, ["overview", RUN(), ...args], out);
  return { code: out.exitCode, ...text };
}

/** Stores a circuit of random nodes of the run's model. */
function store(task: string, seed: number, over: Partial<Circuit> = {}): Circuit {
  const {
    kept: _,
    dropped: __,
    ...structure
  } = circuitStructure(config, params, randomKept(config, seed, 30), {
    tokenText: String,
    answerTokens: new Set(),
    keepDisconnected: true,
  });
  const base = exampleCircuit();
  const circuit: Circuit = {
    ...base,
    ...structure,
    nodes: structure.nodes.map((node) => ({ ...node, meanActivation: 0, importance: null })),
    model: { ...base.model, weightsHash: weightsHash(params) },
    task: { ...base.task, name: task },
    ...over,
  };
  fs.mkdirSync(path.join(RUN(), "circuits", task), { recursive: true });
  fs.writeFileSync(path.join(RUN(), "circuits", task, "circuit.json"), serializeCircuit(circuit));
  return circuit;
}

describe("circuit overview", () => {
  it("without circuits: the network alone, and what to do", async () => {
    const { code, stdout, stderr } = await overview("--format", "svg,json");
    expect(code).toBe(0);
    expect(stderr).toMatch(/^note: .+ has no circuit yet: .+ `circuit extract .+`\.\n$/);
    expect(stdout).toMatch(/^The model: \d+ nodes, \d+ nonzero weights\n/);
    const svg = fs.readFileSync(path.join(RUN(), "circuits", "overview.svg"), "utf8");
    expect(svg).toContain('aria-label="all: the model"');
  });

  it("one circuit, two, and one of no nodes: tables of those that there are, the same bytes again", async () => {
    const one = store("quotes", 1);
    expect((await overview("--format", "json", "--out", temp("one"))).stdout).not.toMatch(/Jaccard|disentanglement/);
    const two = store("brackets", 2);
    store("nothing", 3, { nodes: [], edges: [], links: [], counts: emptyCircuit().counts });
    for (const folder of ["first", "again"]) {
      const { code, stdout, stderr } = await overview("--format", "svg,pdf,gexf,json,csv", "--out", temp(folder));
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      for (const { task, counts } of [one, two]) {
        expect(stdout).toMatch(new RegExp(`${task.name} +${counts.nodes} +[\\d.]+% +${counts.edges} `));
      }
      expect(stdout).toMatch(/mean Jaccard index .+\n.+disentanglement/);
    }
    const files = fs.readdirSync(temp("first"));
    expect(files).toHaveLength(7);
    for (const file of files) {
      expect(fs.readFileSync(temp("again", file)), file).toEqual(fs.readFileSync(temp("first", file)));
    }
    const { stdout } = await overview("--task", "quotes,brackets", "--json", "--format", "json");
    const done = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as { circuits: { name: string }[]; files: string[] };
    expect(done.circuits.map(({ name }) => name)).toEqual(["quotes", "brackets"]);
    expect(done.files).toEqual([path.join(RUN(), "circuits", "overview.json")]);
  });

  it.each([
    [["--format", "svgg"], /"svgg" of an overview/, /Did you mean svg\?/],
    [["--palette", "gray"], /--palette.+"gray"/, /Did you mean/],
    [["--task", "brakets"], /brakets/, /brackets/],
  ])("refuses %j, naming the nearest", async (args, message, hint) => {
    store("brackets", 1);
    const { code, stdout, stderr } = await overview(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
  });

  it("refuses a circuit of another model", async () => {
    store("brackets", 1, { model: { ...exampleCircuit().model, weightsHash: "sha256:0" } });
    const { code, stderr } = await overview();
    expect(code).toBe(2);
    expect(stderr).toMatch(/brackets is of another model.+\nhint: Extract it again/);
  });
});
