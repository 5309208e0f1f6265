/** `circuit export`: what it writes, says and refuses. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { serializeCircuit } from "../../src/circuits/file.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { type CommandModule, execute } from "../../src/cli/program.ts";
import { emptyCircuit, exampleCircuit, randomCircuit } from "../circuits/support.ts";
import { useTempDir } from "../support/temp.ts";
import { type Printed, recorder } from "./programs.ts";

const temp = useTempDir();

async function exported(circuit: Circuit, ...args: string[]): Promise<Printed> {
  fs.writeFileSync(temp("circuit.json"), serializeCircuit(circuit));
  const { out, text } = recorder({ json: args.includes("--json") });
  const load = () => import("../../src/cli/commands/export.ts") as Promise<CommandModule>;
  const program = { name: "circuit", description: "", examples: [["circuit", ""]] as const };
  await execute({ ...program, commands: [{ name: "export", summary: "", load }] }, ["export", temp(), ...args], out);
  return { code: out.exitCode, ...text };
}

describe("circuit export", () => {
  it("--format all writes every format, of a circuit without edges too", async () => {
    for (const circuit of [exampleCircuit(), emptyCircuit()]) {
      const { code, stderr } = await exported(circuit, "--format", "all", "--out", temp("figures"));
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const names = fs.readdirSync(temp("figures")).map((name) => name.slice("single_double_quote".length));
      expect(names.sort()).toEqual(
        [".svg", ".pdf", ".png", ".tex", ".nodes.tex", ".edges.tex", ".dot", ".graphml", ".gexf", ".json"]
          .concat(["nodes", "edges", "links", "tokens"].map((part) => `.${part}.csv`))
          .sort(),
      );
      expect(fs.readFileSync(temp("figures", "single_double_quote.png")).toString("latin1", 1, 4)).toBe("PNG");
    }
  });

  it("--palette changes figures", async () => {
    const svg = async (...args: string[]): Promise<string> => {
      await exported(exampleCircuit(), ...args);
      return fs.readFileSync(temp("single_double_quote.svg"), "utf8");
    };
    const [plain, print, colorblind] = [
      await svg(),
      await svg("--palette", "print"),
      await svg("--palette", "colorblind"),
    ];
    expect(new Set([plain, print, colorblind]).size).toBe(3);
  });

  it("says that a large circuit is not drawn node by node, and writes its data whole", async () => {
    const circuit = randomCircuit(1, 300, 0.9);
    expect(circuit.counts.edges).toBeGreaterThan(1000);
    const { code, stderr } = await exported(circuit, "--format", "svg,csv");
    expect(code).toBe(0);
    expect(stderr).toMatch(/^note: single_double_quote: \d+ nodes and \d+ edges are too many .+ figures show numbers/);
    const rows = fs.readFileSync(temp("single_double_quote.edges.csv"), "utf8").trimEnd().split("\r\n");
    expect(rows).toHaveLength(circuit.counts.edges + 1);
    expect((await exported(circuit, "--format", "csv")).stderr).toBe("");
  });

  it.each([
    [["--format", "pdff"], /"pdff"/, /Did you mean pdf\?/],
    [["--palette", "colourblind"], /--palette.+"colourblind"/, /Did you mean colorblind\?/],
    [["--layout", "layer"], /--layout.+"layer"/, /Did you mean layers\?/],
  ])("refuses %j, naming the nearest", async (args, message, hint) => {
    const { code, stdout, stderr } = await exported(exampleCircuit(), ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
  });

  it("refuses a folder that cannot be written, without a trace", async () => {
    fs.writeFileSync(temp("file"), "");
    const { code, stderr } = await exported(exampleCircuit(), "--out", path.join(temp("file"), "inside"));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
  });
});
