/** What surrounds a figure: title lines, legend, notes at the bottom. */
import { drawable } from "../../drawing/font.ts";
import type { Site } from "../../model/sites.ts";
import { plural } from "../../util/text.ts";
import type { Circuit } from "../schema.ts";
import type { LegendItem, TextItem, TextRole } from "./scene.ts";
import { showsReads } from "./shapes.ts";
import { oneLine, textWidth, truncate } from "./text.ts";

/** What the nodes of a site do. */
export const ROW_NAMES: Record<Site, string> = {
  "attn.act_in": "reads",
  "attn.q": "queries",
  "attn.k": "keys",
  "attn.v": "values",
  "attn.resid_delta": "writes",
  "mlp.act_in": "reads",
  "mlp.post_act": "neurons",
  "mlp.resid_delta": "writes",
};

type Line = Omit<TextItem, "x" | "y">;

export interface Captions {
  readonly top: readonly Line[];
  /** Notes, given how many weights are labelled and not, and how many token entries are drawn. */
  bottom(omitted: number, labelled: number, embedding: number, unembedding: number): Line[];
  /** The canvas must be at least this wide, margins apart. */
  readonly width: number;
}

const NOTE_SIZE = 9;
/** Of the legend's sample of activations. */
export const SHADES_WIDTH = 60;
const MIN_WIDTH = 560;

function line(text: string, role: TextRole, size: number): Line {
  return { text, role, size, width: textWidth(text, size), height: size + 4 };
}

/** A text with its left edge and top. */
export function placed(text: string, role: TextRole, size: number, x: number, y: number): TextItem {
  return { text, role, size, x, y, width: textWidth(text, size), height: size + 3 };
}

/** Lines one under another from y on. */
export function stacked(lines: readonly Line[], x: number, y: number): { texts: TextItem[]; bottom: number } {
  const texts: TextItem[] = [];
  let bottom = y;
  for (const line of lines) {
    texts.push({ ...line, x, y: bottom });
    bottom += line.height + 3;
  }
  return { texts, bottom };
}

/** Three decimals; of a loss below 0.01 its first two digits: 0.00031. */
function formatLoss(loss: number): string {
  if (loss >= 0.01 || loss === 0) return loss.toFixed(3);
  return loss < 1e-4 ? loss.toExponential(1) : String(Number(loss.toPrecision(2)));
}

/** Task loss of the best split to report: test, else val, else train. */
export function reportedLoss(loss: Circuit["taskLoss"]): { split: string; value: number } | undefined {
  for (const split of ["test", "val", "train"] as const) {
    const value = loss[split];
    if (value !== null) return { split, value };
  }
  return undefined;
}

export function captions(circuit: Circuit): Captions {
  const { task, counts, model } = circuit;
  const name = `${truncate(drawable(oneLine(task.name)), 40)}${task.variant === "" ? "" : ` (${truncate(drawable(oneLine(task.variant)), 24)})`}`;
  const reached = reportedLoss(circuit.taskLoss);
  const full = reached && circuit.fullTaskLoss[reached.split as "test"];
  const parts = [plural(counts.nodes, "node"), plural(counts.edges, "edge")];
  if (reached !== undefined) parts.push(`task loss ${formatLoss(reached.value)} on ${reached.split}`);
  if (full !== undefined && full !== null) parts.push(`full model ${formatLoss(full)}`);
  parts.push(`target ${Number(circuit.target.toPrecision(3))}`);
  const shape = `${plural(model.layers, "layer")}, width ${model.width}, ${plural(model.heads, "head")} of ${model.headWidth}`;
  const top = [
    line(name, "title", 16),
    line(parts.join("  ·  "), "subtitle", 11),
    line(`model ${truncate(drawable(oneLine(model.run)), 40)}: ${shape}, ${model.neurons} neurons`, "subtitle", 10),
  ];
  if (circuit.nodes.length === 0) {
    top.push(line("The circuit is empty: no node is kept.", "subtitle", 12));
  }
  return {
    top,
    width: Math.max(MIN_WIDTH, ...top.map((t) => t.width)),
    bottom(omitted, labelled, embedding, unembedding) {
      const notes: string[] = [];
      if (omitted > 0) notes.push(`${omitted} of ${omitted + labelled} weights are not labelled: see their tooltips.`);
      const hidden = (drawn: number, total: number, what: string): void => {
        if (total > drawn) notes.push(`${drawn} of ${total} ${what} entries are drawn.`);
      };
      hidden(embedding, counts.embeddingEntries, "embedding");
      hidden(unembedding, counts.unembeddingEntries, "unembedding");
      if (showsReads(circuit)) notes.push('"on": the tokens that drive the node most.');
      if (embedding + unembedding > 0) notes.push("Embedding and unembedding entries are not counted as edges.");
      return notes.map((note) => line(note, "note", NOTE_SIZE));
    },
  };
}

/** Samples of what occurs in this circuit, in lines from `left` to `right`. */
export function legendItems(
  circuit: Circuit,
  left: number,
  top: number,
  right: number,
): { items: LegendItem[]; texts: TextItem[]; bottom: number } {
  const has = (test: (site: string) => boolean): boolean => circuit.nodes.some((n) => test(n.site));
  const residual = has((s) => s.endsWith("act_in") || s.endsWith("resid_delta"));
  const attention = circuit.nodes.some((n) => n.head !== undefined);
  const entries: [LegendItem["sample"], string, boolean][] = [
    ["positive", "positive weight", circuit.edges.length > 0],
    ["negative", "negative weight", circuit.edges.length > 0],
    ["residual", "residual channel", residual],
    ["tick", "read (name above), write (below)", residual],
    ["circle", "MLP neuron", has((s) => s === "mlp.post_act")],
    ["box", "head.channel of q, k, v", attention],
    ["attention", "attention", circuit.links.some((l) => l.kind !== "residual")],
    ["token", "token", circuit.embedding.length + circuit.unembedding.length > 0],
    ["answer", "answer", circuit.unembedding.some((e) => e.answer)],
  ];
  return legendRow(entries, left, top, right);
}

/** Samples with their texts, of those that are present. */
export function legendRow(
  entries: readonly (readonly [LegendItem["sample"], string, boolean])[],
  left: number,
  top: number,
  right: number,
): { items: LegendItem[]; texts: TextItem[]; bottom: number } {
  const items: LegendItem[] = [];
  const texts: TextItem[] = [];
  let [x, y] = [left, top];
  const shown = entries.filter(([, , present]) => present);
  for (const [sample, text] of shown) {
    const width = textWidth(text, NOTE_SIZE);
    const sampleWidth = sample === "shades" ? SHADES_WIDTH : 20;
    if (x > left && x + sampleWidth + 6 + width > right) [x, y] = [left, y + 18];
    items.push({ sample, x, y });
    texts.push({ text, role: "note", size: NOTE_SIZE, x: x + sampleWidth + 6, y: y - 6, width, height: 12 });
    x += sampleWidth + 6 + width + 18;
  }
  return { items, texts, bottom: y + (shown.length === 0 ? 0 : 14) };
}
