/**
 * Changes of a circuit by hand, as the paper makes them when it looks at one closely: nodes are removed, added, and their
 * values scaled. Pure: from the nodes of a circuit to those of the edited one after each edit; what they compute then is
 * measured by others.
 *
 * Nodes without a path from input to output stay until the end, so that one may take another's place and several may be
 * added in any order. Then those that no edit names are dropped, and one that an edit names is refused.
 */
import { isDeepStrictEqual } from "node:util";
import type { ModelConfig } from "../model/config.ts";
import { nodeId, nodeIndexOf, parseNodeId, siteName, siteSpecs } from "../model/sites.ts";
import { inputError, type SparseError } from "../util/errors.ts";
import { keptSites } from "./kept.ts";
import type { RestoredCircuit } from "./restore.ts";
import type { CircuitEdit } from "./schema.ts";
import type { Wiring } from "./wiring.ts";

/** `factor` is of the node's values as the model has them, however they were scaled before: 1 undoes it. */
export type Edit = Pick<CircuitEdit, "action" | "node" | "factor">;

export interface EditStep {
  readonly edit: Edit;
  /** What then has a path. */
  readonly circuit: RestoredCircuit;
}

const PAST: Readonly<Record<Edit["action"], string>> = { remove: "removed", add: "added", scale: "scaled" };
/** Neighbours that an error names. */
const NAMED = 8;

/** `removed 0.attn.v:3`, `scaled 0.mlp.post_act:98 by 1.3` */
export function editText({ action, node, factor }: Edit): string {
  return `${PAST[action]} ${node}${factor === undefined ? "" : ` by ${factor}`}`;
}

/**
 * Applies edits in their order; the removals of dropped nodes follow, so that the steps name every node that went. An
 * added node comes with all its edges; a removed one loses its scale.
 * @throws input error `node-id`, `node-unknown`, `node-twice`, `node-absent`, `node-present`, `node-path`, `circuit-empty`,
 *   or `edit-nothing` when the circuit would stay as it is.
 */
export function applyEdits(start: RestoredCircuit, edits: readonly Edit[], wiring: Wiring): EditStep[] {
  const named = namedNodes(edits, wiring.config);
  let circuit = start;
  const steps = edits.map((edit) => {
    circuit = applyEdit(circuit, edit, named.get(edit.node)!, wiring);
    return { edit, circuit: connectedPart(circuit, wiring) };
  });
  const last = steps[steps.length - 1]?.circuit ?? start;
  const without = (n: number): boolean => circuit.kept[n] === 1 && last.kept[n] === 0;
  const asked = [...named].find(([, n]) => without(n));
  if (asked !== undefined) throw noPath(asked, circuit, wiring);
  if (!last.kept.includes(1)) {
    throw inputError(
      "circuit-empty",
      `nothing would be left of the circuit: no other node has a path from input to output`,
      "Remove fewer nodes, or add those of another path.",
    );
  }
  if (edits.length > 0 && isDeepStrictEqual(last, start)) throw noChange(edits);
  const dropped = idsOf(
    wiring.config,
    circuit.kept.map((kept, n) => (kept && without(n) ? 1 : 0)),
  );
  return [...steps, ...dropped.map((node) => ({ edit: { action: "remove" as const, node }, circuit: last }))];
}

function applyEdit(
  { kept, removed, scales }: RestoredCircuit,
  { action, node, factor }: Edit,
  n: number,
  { sources, targets }: Wiring,
): RestoredCircuit {
  if (action === "add" && kept[n]) throw inputError("node-present", `${node} is in the circuit`, "It needs no --add.");
  if (action !== "add" && !kept[n]) {
    throw inputError(
      "node-absent",
      `${node} is not in the circuit and cannot be ${PAST[action]}`,
      action === "scale" ? "Put --add for it before --scale." : "`circuit show` prints the circuit's nodes.",
    );
  }
  if (action === "scale") {
    const others = [...scales].filter(([m]) => m !== n);
    return { kept, removed, scales: new Map(factor === 1 ? others : [...others, [n, factor!]]) };
  }
  return {
    kept: kept.with(n, action === "add" ? 1 : 0),
    removed: new Set([...removed].filter((e) => sources[e] !== n && targets[e] !== n)),
    scales: new Map([...scales].filter(([m]) => m !== n)),
  };
}

function connectedPart({ kept, removed, scales }: RestoredCircuit, wiring: Wiring): RestoredCircuit {
  const part = wiring.connected(kept, removed);
  const both = (e: number): boolean => part[wiring.sources[e]!] === 1 && part[wiring.targets[e]!] === 1;
  return {
    kept: part,
    removed: new Set([...removed].filter(both)),
    scales: new Map([...scales].filter(([n]) => part[n])),
  };
}

/** Flat indices of the nodes of edits. */
function namedNodes(edits: readonly Edit[], config: ModelConfig): Map<string, number> {
  for (const { node, action } of edits) {
    const count = edits.filter((edit) => edit.node === node && (edit.action === action || action === "remove")).length;
    if (count > 1) {
      throw inputError(
        "node-twice",
        `${node} is ${PAST[action]} and changed once more`,
        "Name each node for one edit.",
      );
    }
  }
  const index = nodeIndexOf(config);
  return new Map(edits.map(({ node }) => [node, index(node) ?? unknownNode(node, config)]));
}

function unknownNode(id: string, config: ModelConfig): never {
  const { layer, site, channel } = parseNodeId(id);
  const own = Math.min(layer, config.layers - 1);
  const { width } = siteSpecs(config).find(({ name }) => name === siteName(own, site))!;
  throw inputError(
    "node-unknown",
    `the model has no node ${id}: its layers are 0 to ${config.layers - 1}, and the channels of ${site} 0 to ${width - 1}`,
    `The nearest is ${nodeId({ layer: own, site, channel: Math.min(channel, width - 1) })}.`,
  );
}

function noChange(edits: readonly Edit[]): SparseError {
  const has = edits.map(({ node, factor }) => `${node} has a factor of ${factor}`).join(", ");
  return inputError("edit-nothing", `nothing would change: ${has} already`, "Give another factor, or leave it out.");
}

function idsOf(config: ModelConfig, kept: Uint8Array): string[] {
  return keptSites(config, kept).nodes.map(nodeId);
}

/**
 * Says which neighbours would give a node a path, on the side of the input and of the output. Flat order is an order of
 * computation: with everything on one side of a node kept, what is lacking is on the other.
 */
function noPath([id, n]: readonly [string, number], { kept, removed }: RestoredCircuit, wiring: Wiring): SparseError {
  const sides = [
    { way: "from the input", of: (m: number) => m < n },
    { way: "to the output", of: (m: number) => m > n },
  ].flatMap(({ way, of }) => {
    const base = kept.map((k, m) => (k || !of(m) ? 1 : 0));
    const leads = (nodes: Uint8Array): boolean => wiring.connected(nodes, removed)[n] === 1;
    if (leads(base)) return [];
    const helping = new Set(wiring.neighbours(n).filter((m) => of(m) && leads(base.with(m, 1))));
    const ids = idsOf(
      wiring.config,
      kept.map((_, m) => (helping.has(m) ? 1 : 0)),
    );
    const more = ids.length > NAMED ? ` or ${ids.length - NAMED} more` : "";
    return [{ way, ids: ids.length > 0 ? `${ids.slice(0, NAMED).join(" or ")}${more}` : "nodes that make one" }];
  });
  return inputError(
    "node-path",
    `${id} would have no path ${sides.map(({ way }) => way).join(" and none ")} in the circuit`,
    `Add too, for a path ${sides.map(({ way, ids }) => `${way}: ${ids}`).join("; and for one ")}.`,
  );
}
