/**
 * JSON files with a format name and version, and schema errors in the user's words: where, what was expected, what was
 * received, and the nearest valid name of an unknown field.
 */
import type { z } from "zod";
import { inputError } from "./errors.ts";
import { readText, writeFileAtomic } from "./files.ts";
import { nearest } from "./nearest.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** A format of files that this program writes, and the newest version it can read. */
export interface Format {
  /** As stored, e.g. `sparse-circuits/model`. */
  readonly format: string;
  readonly version: number;
}

function parseJson(text: string, label: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw inputError(
      "not-json",
      `${label} is not valid JSON: ${(error as Error).message}`,
      "Restore the file, or make it again.",
    );
  }
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function parseJsonObject(text: string, label: string): JsonObject {
  const value = parseJson(text, label);
  if (!isObject(value)) {
    throw inputError("not-json-object", `${label}: expected a JSON object`, "Restore the file, or make it again.");
  }
  return value;
}

export function readJsonObject(file: string): JsonObject {
  return parseJsonObject(readText(file), file);
}

/** Indented, with a newline at the end; the same value gives the same bytes. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Reads a file written by `writeVersioned`; refuses another format and a newer version. */
export function readVersioned(file: string, expected: Format): JsonObject {
  const value = readJsonObject(file);
  const { format, version } = value;
  if (format !== expected.format) {
    throw inputError(
      "wrong-format",
      `${file}: expected format "${expected.format}" but received ${JSON.stringify(format) ?? "none"}`,
      "Check the path.",
    );
  }
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1) {
    throw inputError(
      "wrong-version",
      `${file}: version is ${JSON.stringify(version) ?? "missing"}, not a whole number`,
      "Restore the file, or make it again.",
    );
  }
  if (version > expected.version) {
    throw inputError(
      "newer-version",
      `${file} has version ${version} of ${expected.format}; this program reads up to ${expected.version}`,
      "Update sparse-circuits.",
    );
  }
  return value;
}

export function writeVersioned(file: string, format: Format, content: object): void {
  writeFileAtomic(file, formatJson({ ...format, ...content }));
}

/** Checks a value against a schema; `names` are the valid fields, for hints about unknown ones. */
export function parseSchema<T>(schema: z.ZodType<T>, value: unknown, label: string, names: Iterable<string> = []): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // A misspelt field is reported first: a missing one is usually the same field.
  const { issues } = result.error;
  const issue = issues.find((i) => i.code === "unrecognized_keys") ?? issues[0]!;
  const where = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const known = nearest(key, names);
    throw inputError(
      "unknown-field",
      `${label}: unknown field "${where === "" ? key : `${where}.${key}`}"`,
      known === undefined ? "Remove it." : `The nearest known field is "${known}".`,
    );
  }
  const received = issue.path.reduce<unknown>(
    (v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
  const expected = issue.message.replace(/, received \w+$/, "");
  throw inputError(
    "bad-field",
    `${label}: field "${where}": ${expected}, but received ${JSON.stringify(received) ?? "nothing"}`,
    "Correct the field.",
  );
}
