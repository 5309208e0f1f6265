/** `circuit label`: what it changes and what it leaves, and that a label is text in every format. */
import * as fs from "node:fs";
import Graph, { type DirectedGraph } from "graphology";
import { parse as parseGexf } from "graphology-gexf";
import { parse as parseGraphml } from "graphology-graphml";
import { describe, expect, it } from "vitest";
import { drawFigure } from "../../src/circuits/export/figure.ts";
import { exportCircuit } from "../../src/circuits/export/index.ts";
import { readCircuit, serializeCircuit } from "../../src/circuits/file.ts";
import { keepLabels, labelsOf } from "../../src/circuits/labels.ts";
import { oneLine, truncate } from "../../src/circuits/layout/text.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { circuitTable } from "../../src/circuits/table.ts";
import { type CommandModule, execute } from "../../src/cli/program.ts";
import { drawable } from "../../src/drawing/font.ts";
import { escapeLatex } from "../../src/drawing/latex-text.ts";
import { formatJson } from "../../src/util/json.ts";
import { inShort } from "../../src/verify/verify.ts";
import { checkDrawing, textsOf } from "../circuits/drawings.ts";
import { exampleCircuit, LABELS } from "../circuits/support.ts";
import { madeTrace } from "../circuits/traces.ts";
import { sampleCheck, sampleReport } from "../support/report.ts";
import { useTempDir } from "../support/temp.ts";
import { parseXml } from "../support/xml.ts";
import { type Printed, recorder } from "./programs.ts";

const temp = useTempDir();
const AnyGraph = Graph as unknown as typeof DirectedGraph;
const VALUE = "1.attn.v:5";

async function label(...args: string[]): Promise<Printed> {
  const { out, text } = recorder({ json: args.includes("--json") });
  const load = () => import("../../src/cli/commands/label.ts") as Promise<CommandModule>;
  const program = { name: "circuit", description: "", examples: [["circuit", ""]] as const };
  await execute({ ...program, commands: [{ name: "label", summary: "", load }] }, ["label", temp(), ...args], out);
  return { code: out.exitCode, ...text };
}

const bytes = (): string => fs.readFileSync(temp("circuit.json"), "utf8");
const plain = (): Circuit => {
  const circuit = exampleCircuit();
  return { ...circuit, nodes: circuit.nodes.map(({ label: _, ...node }) => node) };
};
function store(circuit: Circuit): string {
  fs.writeFileSync(temp("circuit.json"), serializeCircuit(circuit));
  return bytes();
}

describe("circuit label", () => {
  it("changes the node's line and no other byte; without the label the file is as it was", async () => {
    const before = store(plain());
    const { code, stdout, stderr } = await label("V.1.1", "which quote");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`${VALUE}  which quote`);
    expect(readCircuit(temp("circuit.json")).nodes.find(({ id }) => id === VALUE)!.label).toBe("which quote");
    // The node no longer fits on a line: its line became a block, the others are as they were.
    const [old, now] = [before.split("\n"), bytes().split("\n")];
    const at = old.findIndex((line) => line.includes(`"id":"${VALUE}"`));
    const block = now.length - old.length + 1;
    expect(now.toSpliced(at, block, old[at]!)).toEqual(old);
    expect(
      JSON.parse(
        now
          .slice(at, at + block)
          .join("")
          .replace(/,$/, ""),
      ),
    ).toMatchObject({ label: "which quote" });
    expect(await label("--remove", "1.attn.v.head1.ch1")).toMatchObject({ code: 0, stderr: "" });
    expect(bytes()).toBe(before);
    await label("V.1.1", "again");
    await label(`${VALUE}=`);
    expect(bytes()).toBe(before);
  });

  it("takes pairs, whose labels may hold =, lists the labels, and leaves the file alone without a change", async () => {
    store(plain());
    await label(`${VALUE}=a = b`, 'K.1.1="quoted"');
    const { stdout } = await label("--json");
    const labels = { "1.attn.k:5": '"quoted"', [VALUE]: "a = b" };
    expect(JSON.parse(stdout)).toMatchObject({ event: "done", task: "single_double_quote", labels });
    const written = fs.statSync(temp("circuit.json")).mtimeMs;
    expect((await label()).stdout).toContain("a = b");
    expect(fs.statSync(temp("circuit.json")).mtimeMs).toBe(written);
  });

  it("verdicts stay, and the report page has the label where the node is", async () => {
    const tables = [{ title: "Nodes", columns: ["node", "rise"], rows: [[VALUE, 0.5]] }];
    const { model, task, counts, target } = plain();
    const identity = {
      ...{ run: model.run, weightsHash: model.weightsHash, task: task.name, variant: task.variant, ablation: "mean" },
      ...{ nodes: counts.nodes, edges: counts.edges, target },
    };
    const report = { ...sampleReport([sampleCheck("minimality", { tables })]), circuit: identity };
    const circuit: Circuit = { ...plain(), verification: inShort(report) };
    store(circuit);
    fs.writeFileSync(temp("report.json"), formatJson(report));
    const told = fs.readFileSync(temp("report.json"), "utf8");
    expect((await label(VALUE, "<script>alert(1)</script>")).stdout).toContain(temp("report.html"));
    expect(readCircuit(temp("circuit.json")).verification).toEqual(circuit.verification);
    expect(fs.readFileSync(temp("report.json"), "utf8")).toBe(told);
    const page = parseXml(fs.readFileSync(temp("report.html"), "utf8"));
    expect(page.map((e) => e.name)).not.toContain("script");
    expect(page.filter((e) => e.name === "td").map((e) => e.text)).toContain(`${VALUE} (<script>alert(1)</script>)`);
    // Of another circuit: not written again.
    fs.writeFileSync(temp("report.json"), formatJson({ ...report, circuit: { ...identity, nodes: 99 } }));
    expect((await label(VALUE, "x")).stdout).not.toContain("report.html");
  });

  it.each([
    [["V.1.2", "x"], /"V.1.2" is not a node/, /nearest in the circuit is V\.1\.1/],
    [["1.attn.v:4=x"], /1\.attn\.v:4 is not in the circuit/, /nearest in the circuit is 1\.attn\.v:5/],
    [["--remove", "nothing"], /"nothing" is not a node/, /nearest/],
    [["V.1.1"], /expected a node and its label, but received "V\.1\.1"/, /V\.0\.30=/],
    [["V.1.1", "two", "words"], /received "V\.1\.1"/, /quote labels with spaces/],
    [["V.1.1=a", `${VALUE}=b`], /named twice/, /one label/],
    [["V.1.1", "x".repeat(201)], /at most 200 characters but received 201/, /Shorten/],
  ])("refuses %j", async (args, message, hint) => {
    const before = store(plain());
    const { code, stdout, stderr } = await label(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
    expect(bytes()).toBe(before);
  });
});

describe("labels in every format", () => {
  /** The example, each node with a label that breaks what does not escape. */
  const circuit: Circuit = (() => {
    const base = plain();
    return { ...base, nodes: base.nodes.map((n, i) => ({ ...n, label: LABELS[i % LABELS.length]! })) };
  })();
  const trace = madeTrace(circuit, ["x", "(", '"a', " =", "y"]);
  const shown = (text: string): string => truncate(drawable(oneLine(text)), 22);
  const one = async (format: string): Promise<string> => (await exportCircuit(circuit, format))[0]!.content as string;
  const labels = new Map(circuit.nodes.map(({ id, label }) => [id, label!]));

  it("figures show them in every layout, unrolled and over code, and hold no markup of theirs", () => {
    const figures = [
      { drawing: drawFigure(circuit), all: true },
      { drawing: drawFigure(circuit, { layout: "force" }), all: false },
      { drawing: drawFigure(circuit, { trace }), all: false },
      { drawing: drawFigure(circuit, { trace, layout: "code" }), all: false },
    ];
    for (const { drawing, all } of figures) {
      checkDrawing(drawing);
      // Long ones are broken into lines, which stand one after another.
      const squeezed = (text: string): string => text.replaceAll(/\s/g, "");
      const texts = squeezed(
        textsOf(drawing)
          .map(({ text }) => text)
          .join(""),
      );
      const found = [...new Set(labels.values())].filter((l) => texts.includes(squeezed(shown(l).slice(0, 10))));
      if (all) expect(found).toHaveLength(new Set(labels.values()).size);
      expect(found.length).toBeGreaterThan(0);
    }
  });

  it("svg: text and tooltips read back, no script", async () => {
    const elements = parseXml(await one("svg"));
    expect(elements.map(({ name }) => name)).not.toContain("script");
    const titles = elements.filter(({ name }) => name === "title").map(({ text }) => text.split("\n")[0]);
    for (const [id, text] of labels) expect(titles).toContain(`${id}: ${oneLine(text)}`);
  });

  it("graphml and gexf: the same label by another reader", async () => {
    for (const graph of [parseGraphml(AnyGraph, await one("graphml")), parseGexf(AnyGraph, await one("gexf"))]) {
      for (const [id, text] of labels) expect(graph.getNodeAttribute(id, "label")).toBe(oneLine(text));
    }
  });

  it("json, csv, dot, LaTeX, TikZ and attribution graph", async () => {
    const json = JSON.parse(await one("json")) as Circuit;
    expect(labelsOf(json)).toEqual(labels);
    const csv = await one("csv");
    const dot = await one("dot");
    const latex = (await one("latex")).replaceAll("\\allowbreak{}", "");
    const tikz = await one("tikz");
    const attribution = (await exportCircuit(circuit, "attribution", { trace }))[0]!.content as string;
    const names = (JSON.parse(attribution) as { nodes: { clerp: string }[] }).nodes.map(({ clerp }) => clerp);
    expect(names.some((name) => [...labels].some(([id, text]) => name === `${id}: ${text}`))).toBe(true);
    for (const text of labels.values()) {
      expect(csv).toContain(/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
      const escaped = oneLine(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("&", "&amp;");
      expect(dot).toContain(`\\n${escaped}"`);
      expect(latex).toContain(` & \\raggedright ${escapeLatex(text)} \\tabularnewline`);
      expect(tikz).toContain(escapeLatex(shown(text).slice(0, 4).trimEnd()));
    }
    for (const text of [latex, tikz]) expect(text).not.toContain("\\input");
  });

  it("circuit show: on one line, without control characters", () => {
    const lines = circuitTable(circuit, { width: 250 });
    expect(lines.join("\n")).toContain("[<script>alert(1)</script>]");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(lines.join("")).not.toMatch(/[\x00-\x1f]/);
  });
});

describe("labels of a circuit that is found again", () => {
  const before = exampleCircuit();
  const again = { ...plain(), nodes: plain().nodes.slice(2) };

  it("stay with the nodes that stay, of the same weights and task", () => {
    const kept = labelsOf(keepLabels(again, before));
    expect(kept.get(VALUE)).toBe("which quote it was");
    expect([...kept.keys()].every((id) => again.nodes.some((n) => n.id === id))).toBe(true);
  });

  it("are not those of other weights or another variant", () => {
    const trained = { ...again, model: { ...again.model, weightsHash: "sha256:other" } };
    const far = { ...again, task: { ...again.task, variant: "far" } };
    for (const other of [trained, far]) expect(keepLabels(other, before)).toBe(other);
  });
});
