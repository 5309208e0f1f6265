/** Tables as CSV (RFC 4180: CRLF, fields quoted where needed, header line). Numbers are as in the circuit file. */
import { roundFloat } from "../file.ts";
import type { Circuit } from "../schema.ts";

type Field = string | number | boolean | null | undefined;

export interface CircuitCsv {
  readonly nodes: string;
  /** Weights of the four matrices of the blocks: one line for each counted edge. */
  readonly edges: string;
  readonly links: string;
  /** Embedding and unembedding entries. */
  readonly tokens: string;
}

export function circuitCsv(circuit: Circuit): CircuitCsv {
  return {
    nodes: csvTable(
      ["id", "layer", "site", "channel", "head", "mean_activation", "importance", "label", "driving_tokens"],
      circuit.nodes.map((n) => [
        n.id,
        n.layer,
        n.site,
        n.channel,
        n.head,
        n.meanActivation,
        n.importance,
        n.label,
        // Token texts hold any character: as a JSON list they stay separable.
        n.reads === undefined ? undefined : JSON.stringify(n.reads.map((r) => [r.tokenText, roundFloat(r.value)])),
      ]),
    ),
    edges: csvTable(
      ["source", "target", "weight", "matrix"],
      circuit.edges.map((e) => [e.source, e.target, e.weight, e.matrix]),
    ),
    links: csvTable(
      ["kind", "source", "target"],
      circuit.links.map((l) => [l.kind, l.source, l.target]),
    ),
    tokens: csvTable(
      ["kind", "token", "text", "channel", "weight", "answer"],
      [
        ...circuit.embedding.map((e) => ["embedding", e.token, e.tokenText, e.channel, e.weight, undefined]),
        ...circuit.unembedding.map((e) => ["unembedding", e.token, e.tokenText, e.channel, e.weight, e.answer]),
      ],
    ),
  };
}

/** A header line and rows as CSV. */
export function csvTable(header: readonly string[], rows: readonly (readonly Field[])[]): string {
  return [header, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

function field(value: Field): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(roundFloat(value));
  const text = String(value);
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}
