/**
 * The names that a user may type for a node: its id (`0.attn.v:30`), the name that figures and tables show (`V.0.30`,
 * the channel `98` of a neuron, `pos.3`), and the paper's `10.attn.v.head82.ch0`. Parsing only: from text to an id, with
 * the circuit's model and nodes to go by; nothing is looked up in weights.
 */
import { type NodeId, nodeId, parseNodeId, type Site } from "../model/sites.ts";
import { inputError, type SparseError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import { positionName, shortName } from "./graph.ts";
import type { Circuit, CircuitNode } from "./schema.ts";

type Named = Pick<Circuit, "model" | "nodes">;

const BY_HEAD = /^(\d+)\.attn\.([qkv])\.head(\d+)\.ch(\d+)$/i;
const SHORT = /^([qkv])\.(\d+)\.(\d+)$/i;

/**
 * The id of the node that a name means. It need not be in the circuit, nor in the model where the name is an id. A short
 * name is that of one of the circuit's nodes, or of a model of one layer.
 * @throws input error `node-id` where it means none, `node-ambiguous` where it means several
 */
export function nodeNamed(text: string, circuit: Named): NodeId {
  const name = text.trim();
  if (name.includes(":")) return nodeId(parseNodeId(name));
  const hook = BY_HEAD.exec(name);
  if (hook) return nodeId(ofHead(name, Number(hook[1]), hook.slice(2), circuit));
  const own = circuit.nodes.filter((node) => shownNames(circuit, node).includes(name.toUpperCase()));
  if (own.length === 1) return nodeId(own[0]!);
  if (own.length > 1) {
    const ids = own.map(({ id }) => id);
    throw inputError("node-ambiguous", `${name} is the name of ${ids.length} nodes`, `Give one of ${ids.join(", ")}.`);
  }
  const short = SHORT.exec(name);
  if (short && circuit.model.layers === 1) return nodeId(ofHead(name, 0, short.slice(1), circuit));
  throw noNode("node-id", `"${name}" is not a node`, name, circuit);
}

/**
 * The node of the circuit that a name means.
 * @throws as `nodeNamed`, and input error `node-absent` with the nearest where the circuit does not have it
 */
export function circuitNode(text: string, circuit: Named): CircuitNode {
  const id = nodeNamed(text, circuit);
  const node = circuit.nodes.find((n) => n.id === id);
  if (node) return node;
  throw noNode("node-absent", `${id} is not in the circuit`, text.trim(), circuit);
}

function ofHead(name: string, layer: number, parts: readonly string[], { model }: Named) {
  const [head, channel] = [Number(parts[1]), Number(parts[2])];
  const { heads, headWidth } = model;
  if (head < heads && channel < headWidth) {
    return { layer, site: `attn.${parts[0]!.toLowerCase()}` as Site, channel: head * headWidth + channel };
  }
  throw inputError(
    "node-id",
    `"${name}" is not a node: the model's heads are 0 to ${heads - 1}, their channels 0 to ${headWidth - 1}`,
    `The nearest is head ${Math.min(head, heads - 1)}, channel ${Math.min(channel, headWidth - 1)}.`,
  );
}

function shownNames(circuit: Named, node: CircuitNode): string[] {
  return [shortName(circuit, node), positionName(circuit, node) ?? []].flat().map((name) => name.toUpperCase());
}

/** Names the nearest id or short name of the circuit. */
function noNode(code: string, message: string, name: string, circuit: Named): SparseError {
  const names = circuit.nodes.flatMap((node) => [node.id, shortName(circuit, node)]);
  const near = nearest(name, names);
  const node = circuit.nodes.find((n) => near === n.id || near === shortName(circuit, n));
  if (!node) return inputError(code, message, "The circuit has no nodes.");
  const also = node.id === near ? "" : ` (${node.id})`;
  return inputError(code, message, `The nearest in the circuit is ${near}${also}; \`circuit show\` prints all.`);
}
