/**
 * The rows of an unrolled figure from top to bottom: those of all columns alike, with room between them for what runs
 * there. Sublayers without nodes do not appear.
 */
import type { Circuit } from "../schema.ts";
import { bandHeight } from "./rows.ts";
import { levels, TRACK_STEP, type Track } from "./sideways.ts";
import { STAGES, type Stage, type TokenColumn } from "./unrolled-columns.ts";

const BOUNDARY_SPACE = 16;
/** Above and below the tracks of attention. */
const TRACK_SPACE = 14;

export interface StagePlan {
  readonly stages: readonly { readonly stage: Stage; readonly y: number }[];
  readonly sublayers: readonly { readonly name: string; readonly y: number }[];
  readonly y: (layer: number, stage: Stage) => number;
  readonly trackTop: (layer: number, kind: Track["kind"]) => number;
  readonly bottom: number;
}

export function planStages(
  circuit: Circuit,
  columns: readonly TokenColumn[],
  tracks: readonly Track[],
  top: number,
  stretch: number,
): StagePlan {
  const stages: { stage: Stage; y: number }[] = [];
  const sublayers: { name: string; y: number }[] = [];
  const rowY = new Map<string, number>();
  const trackY = new Map<string, number>();
  let y = top;
  for (let layer = 0; layer < circuit.model.layers; layer++) {
    for (const stage of STAGES) {
      const members = columns.map((c) => c.nodes.filter((n) => n.layer === layer && n.stage === stage));
      const shapes = members.flatMap((m, i) => m.map((n) => columns[i]!.columns.shapes.get(n.id)!));
      if (shapes.length === 0) continue;
      const name = `${layer}.${stage === "neuron" || stage.startsWith("mlp") ? "mlp" : "attn"}`;
      const kind = stage === "softmax" ? "key" : "value";
      if (name !== sublayers[sublayers.length - 1]?.name) {
        y += sublayers.length > 0 ? BOUNDARY_SPACE : 0;
        sublayers.push({ name, y });
        y += BOUNDARY_SPACE;
      } else if (stage === "softmax" || stage === "gather") {
        trackY.set(`${layer}.${kind}`, y + TRACK_SPACE + 4);
        y += 2 * TRACK_SPACE + TRACK_STEP * Math.max(0, levels(tracks, layer, kind) - 1) + 4;
      } else {
        const incoming = columns.map(({ edges }, i) => {
          const targets = new Set(members[i]!.map((n) => n.id));
          return edges.filter((e) => targets.has(e.target)).length;
        });
        y += bandHeight(Math.max(...incoming), stretch);
      }
      y += Math.max(...shapes.map((s) => s.up));
      rowY.set(`${layer}.${stage}`, y);
      stages.push({ stage, y });
      y += Math.max(...shapes.map((s) => s.down));
    }
  }
  return {
    stages,
    sublayers,
    y: (layer, stage) => rowY.get(`${layer}.${stage}`)!,
    trackTop: (layer, kind) => trackY.get(`${layer}.${kind}`)!,
    bottom: y + BOUNDARY_SPACE,
  };
}
