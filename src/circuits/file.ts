/**
 * Reading and writing of circuit files. Reading checks everything and says which field is wrong; writing gives the same
 * bytes for the same circuit: fixed key order, no timestamps, floats rounded to 7 significant digits (what a float32
 * carries). Writing to disk is the caller's, atomically.
 */
import { readFileSync } from "node:fs";
import { inputError } from "../util/errors.ts";
import { CIRCUIT_FORMAT, CIRCUIT_VERSION, type Circuit, circuitSchema } from "./schema.ts";

/**
 * Reads a circuit file.
 * @throws input error `circuit-missing`, `circuit-json`, `circuit-format`, `circuit-version` or `circuit-field`.
 */
export function readCircuit(path: string): Circuit {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw inputError(
      "circuit-missing",
      `cannot read the circuit file ${path}`,
      "Circuits are written to runs/<run>/circuits/<task>/ when they are extracted.",
      cause,
    );
  }
  return parseCircuit(text, path);
}

/**
 * Checks the text of a circuit file. `where` names the source in errors.
 * @throws input error as of `readCircuit`, with the path of the first wrong field.
 */
export function parseCircuit(json: string, where: string): Circuit {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw inputError(
      "circuit-json",
      `${where} is not a circuit file: ${json.trim() === "" ? "it is empty" : "its JSON is broken or cut short"}`,
      "Extract the circuit again, or restore the file from a copy.",
      cause,
    );
  }
  const { format, version } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  if (format !== CIRCUIT_FORMAT) {
    throw inputError(
      "circuit-format",
      `${where} is not a circuit file: expected format "${CIRCUIT_FORMAT}" but received ${show(format)}`,
      "Give the circuit.json of an extracted circuit.",
    );
  }
  if (typeof version === "number" && version > CIRCUIT_VERSION) {
    throw inputError(
      "circuit-version",
      `${where} has version ${version} of the circuit format, this tool reads version ${CIRCUIT_VERSION}`,
      "Update sparse-circuits, or export the circuit again with this version.",
    );
  }
  if (typeof version === "number" && version < CIRCUIT_VERSION) {
    throw inputError(
      "circuit-version",
      `${where} has version ${version} of the circuit format, this tool reads version ${CIRCUIT_VERSION}`,
      "Extract the circuit again with this version.",
    );
  }
  const result = circuitSchema.safeParse(value);
  if (!result.success) {
    const fault = result.error.issues[0]!;
    const more = result.error.issues.length - 1;
    throw inputError(
      "circuit-field",
      `${where}: ${fieldPath(fault.path)}: ${fault.message}${more > 0 ? ` (and ${more} more)` : ""}`,
      "The file was edited or damaged: extract the circuit again, or restore the file from a copy.",
    );
  }
  return result.data;
}

/**
 * The bytes of a circuit file, newline at the end. `parseCircuit` of the result gives the circuit with rounded floats.
 * @throws Error (a defect of the caller) if the circuit breaks its own schema, e.g. holds a NaN.
 */
export function serializeCircuit(circuit: Circuit): string {
  const checked = circuitSchema.safeParse(circuit);
  if (!checked.success) {
    const fault = checked.error.issues[0]!;
    throw new Error(`internal error: circuit field ${fieldPath(fault.path)}: ${fault.message}`);
  }
  const { calibrated, counts, ...rest } = checked.data;
  // Records with free keys are sorted: their order would otherwise depend on who filled them.
  const canonical: Circuit = {
    ...rest,
    counts: { ...counts, edgesPerMatrix: sortKeys(counts.edgesPerMatrix) as Record<string, number> },
    calibrated: calibrated === null ? null : (sortKeys(calibrated) as Circuit["calibrated"]),
  };
  return `${pretty(roundFloats(canonical), "")}\n`;
}

/** A float to 7 significant digits; integers stay exact, -0 becomes 0. */
export function roundFloat(value: number): number {
  if (Number.isInteger(value)) return value === 0 ? 0 : value;
  return Number(value.toPrecision(7));
}

function roundFloats(value: unknown): unknown {
  if (typeof value === "number") return roundFloat(value);
  if (Array.isArray(value)) return value.map(roundFloats);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, roundFloats(v)]));
  }
  return value;
}

/** Keys in natural order (digit runs by value, so that layer 10 follows layer 9), recursively. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== "object") return value;
  const natural = (key: string): string => key.replace(/\d+/g, (digits) => digits.padStart(9, "0"));
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, v]) => [natural(key), key, sortKeys(v)] as const)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([, key, v]) => [key, v]),
  );
}

/** JSON with two spaces of indent, where whatever fits on one line stays on one line. */
function pretty(value: unknown, indent: string): string {
  const line = JSON.stringify(value);
  if (value === null || typeof value !== "object" || (line.length + indent.length <= 120 && indent !== "")) return line;
  const inner = `${indent}  `;
  const [open, close, items] = Array.isArray(value)
    ? ["[", "]", value.map((v) => pretty(v, inner))]
    : [
        "{",
        "}",
        Object.entries(value)
          .filter(([, v]) => v !== undefined)
          .map(([key, v]) => `${JSON.stringify(key)}: ${pretty(v, inner)}`),
      ];
  return items.length === 0 ? open + close : `${open}\n${inner}${items.join(`,\n${inner}`)}\n${indent}${close}`;
}

function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "the file";
  return path.map((p, i) => (typeof p === "number" ? `[${p}]` : `${i > 0 ? "." : ""}${String(p)}`)).join("");
}

function show(value: unknown): string {
  return value === undefined ? "none" : (JSON.stringify(value).slice(0, 60) ?? "none");
}
