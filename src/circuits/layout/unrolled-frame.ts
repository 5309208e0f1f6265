/** What surrounds an unrolled figure: the prompt above; the legend and the notes below. */
import { drawable } from "../../drawing/font.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import type { Trace, UnrollOptions } from "../trace.ts";
import { legendRow } from "./frame.ts";
import { oneLine, textWidth, visibleToken, wrap } from "./text.ts";

export const PROMPT_SIZE = 10;
export const NOTE_SIZE = 9;
const PROMPT_LINES = 3;

/** The prompt in lines of at most `width` pixels; of a long one the end, which is what is answered. */
export function promptLines({ tokens }: Trace, width: number): string[] {
  const cells = Math.floor(width / textWidth("x", PROMPT_SIZE));
  const text = drawable(oneLine(tokens.map((t) => visibleToken(t.text)).join("")));
  const all = wrap("", cells, `prompt ${text}`);
  if (all.length <= PROMPT_LINES) return all;
  const end = wrap("", cells, text).slice(1 - PROMPT_LINES);
  return ["prompt …", ...end];
}

/** Samples of what occurs in this figure. */
export function unrolledLegend(drawn: readonly CircuitNode[], left: number, top: number, right: number) {
  const has = (test: (site: string) => boolean): boolean => drawn.some((n) => test(n.site));
  const values = has((site) => site === "attn.v");
  const patterns = has((site) => site === "attn.q" || site === "attn.k");
  const inner = values || patterns || has((site) => site === "mlp.post_act");
  return legendRow(
    [
      ["positive", "positive weight", inner],
      ["negative", "negative weight", inner],
      ["residual", "residual channel", drawn.length > 0],
      ["tick", "read (name above), write (below)", drawn.length > 0],
      ["circle", "MLP neuron", has((site) => site === "mlp.post_act")],
      ["box", "head.channel of q, k, v", values || patterns],
      ["moved", "value, as wide as its attention", values],
      ["attention", "query and key, to softmax", patterns],
      ["shades", "activation, from as ablated to farthest from it on the prompt", inner],
      ["idle", "as ablated", drawn.length > 0],
    ],
    left,
    top,
    right,
  );
}

export interface LeftOut extends UnrollOptions {
  readonly folded: number;
  /** Tokens with a column. */
  readonly shown: number;
  /** Nodes of the circuit that stand in no column. */
  readonly nodes: number;
}

/** Notes in lines of at most `width` pixels. */
export function unrolledNotes(circuit: Circuit, leftOut: LeftOut, omittedLabels: number, width: number): string[] {
  const { ablation, links } = circuit;
  const attends = circuit.nodes.some((n) => n.site === "attn.v");
  const absent = absentNote(circuit, leftOut);
  const notes = [
    `Numbers at nodes: what they carry on this prompt; on lines: weights. Ablated: ${ablation.kind}.`,
    ...(attends ? ["Sideways: the attention that values get; Σ: what it gathers from all tokens."] : []),
    ...(attends && !links.some((l) => l.kind === "value")
      ? ["No query or key is in the circuit: attention is the ablated one."]
      : []),
    "Probabilities are among the answers.",
    ...(leftOut.folded > 0 ? [foldedNote(leftOut)] : []),
    ...(absent === undefined ? [] : [absent]),
    ...(omittedLabels > 0 ? [`${omittedLabels} weights are not labelled: see their tooltips.`] : []),
  ];
  return wrap(notes.join("  "), Math.floor(width / textWidth("x", NOTE_SIZE)));
}

const percent = (part: number): string => `${Math.round(100 * part)}%`;

function foldedNote({ share, most, folded, shown }: LeftOut): string {
  const strongest = shown < most ? "" : `, or are not among the ${most} that bring most`;
  const tokens = folded === 1 ? "1 token is folded (…): it brings" : `${folded} tokens are folded (…): they bring`;
  return `${tokens} less than ${percent(share)} of what the strongest brings${strongest}.`;
}

/** How many nodes are not drawn, and why; undefined where all are. */
export function absentNote({ counts }: Circuit, { weak, nodes }: LeftOut): string | undefined {
  if (nodes === 0) return undefined;
  const why =
    weak > 0
      ? `what brings less than ${percent(weak)} of the strongest to the same place is left out`
      : "the others reach these answers from none of the tokens shown";
  return `${counts.nodes - nodes} of ${counts.nodes} nodes are shown: ${why}.`;
}
