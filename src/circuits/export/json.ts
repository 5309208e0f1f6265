/** The circuit file itself, as an export. */
import { serializeCircuit } from "../file.ts";
import type { Circuit } from "../schema.ts";

export function circuitJson(circuit: Circuit): string {
  return serializeCircuit(circuit);
}
