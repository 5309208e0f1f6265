/**
 * How a file of each kind is read: yields its documents in order and returns the SHA-256 of the file. What is wrong with
 * a file of many documents is an error that names the record, since it is nearly always the wrong file or field.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { inputError } from "../../util/errors.ts";
import { onFile } from "../../util/files.ts";
import { nearest } from "../../util/nearest.ts";
import { records } from "./records.ts";

export interface ReadOptions {
  /** Field of JSONL lines and column of Parquet files that holds the text. */
  readonly textField: string;
  /** What stands between the documents of a text file. */
  readonly separator: string;
}

/** Why a document is left out. */
export type SkipReason = "not UTF-8" | "binary" | "too short" | "too long" | "duplicate" | "no text";

export type Read = { readonly text: string } | { readonly skipped: SkipReason };

export type Reader = (file: string, options: ReadOptions) => AsyncGenerator<Read, string>;

/** A file that is one document. */
export const readWhole: Reader = async function* (file) {
  const bytes = onFile(file, "read", () => fs.readFileSync(file));
  yield decode(bytes);
  return createHash("sha256").update(bytes).digest("hex");
};

/** Text without a NUL, which no program text has and most binary files do. */
function decode(bytes: Buffer): Read {
  if (bytes.includes(0)) return { skipped: "binary" };
  return isUtf8(bytes) ? { text: bytes.toString() } : { skipped: "not UTF-8" };
}

export const readText: Reader = async function* (file, { separator }) {
  const all = records(file, separator);
  for (;;) {
    const { value, done } = await all.next();
    if (done) return value;
    yield decode(value.bytes);
  }
};

export const readJsonLines: Reader = async function* (file, { textField }) {
  const all = records(file, "\n");
  for (;;) {
    const { value, done } = await all.next();
    if (done) return value;
    const { bytes, number } = value;
    if (!isUtf8(bytes)) throw badLine(file, number, " is not UTF-8", "Convert the file to UTF-8.");
    const line = bytes.toString().trim();
    if (line !== "") yield fieldOf(line, textField, file, number);
  }
};

function badLine(file: string, line: number, why: string, hint: string): Error {
  return inputError("corpus-line", `${file}, line ${line}${why}`, hint);
}

function fieldOf(line: string, field: string, file: string, number: number): Read {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw badLine(file, number, ` is not JSON: ${(error as Error).message}`, "Correct the line, or remove it.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badLine(file, number, " is not a JSON object", `Expected lines such as {"${field}": "..."}.`);
  }
  const text = (value as { [field: string]: unknown })[field];
  if (typeof text === "string") return { text };
  const strings = Object.entries(value).flatMap(([name, one]) => (typeof one === "string" ? [name] : []));
  const why = text === undefined ? ` has no field "${field}"` : `: field "${field}" is not text`;
  throw badLine(file, number, why, fieldHint(field, strings));
}

function fieldHint(wanted: string, names: readonly string[]): string {
  if (names.length === 0) return "Name the field that holds the text with --text-field.";
  const guess = nearest(wanted, names) ?? names[0];
  return `Name the field that holds the text with --text-field, such as --text-field ${guess}; there are ${names.join(", ")}.`;
}

export const readParquet: Reader = async function* (file, { textField }) {
  const bad = (error: unknown): Error =>
    inputError(
      "corpus-parquet",
      `${file} cannot be read as Parquet: ${(error as Error).message}`,
      "Copy or download the file again, or leave it out.",
      error,
    );
  const handle = await asyncBufferFromFile(file);
  const metadata = await parquetMetadataAsync(handle).catch((error: unknown) => Promise.reject(bad(error)));
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (!columns.includes(textField)) {
    throw inputError("corpus-column", `${file} has no column "${textField}"`, fieldHint(textField, columns));
  }
  let rowStart = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(num_rows);
    const rows = await parquetReadObjects({
      file: handle,
      metadata,
      compressors,
      columns: [textField],
      rowStart,
      rowEnd,
    }).catch((error: unknown) => Promise.reject(bad(error)));
    for (const [i, row] of rows.entries()) {
      const text: unknown = row[textField];
      if (text === null || text === undefined) yield { skipped: "no text" };
      else if (typeof text === "string") yield { text };
      else {
        const what = `${file}, row ${rowStart + i + 1}: column "${textField}" holds ${typeof text} values, not text`;
        throw inputError("corpus-column", what, fieldHint(textField, columns));
      }
    }
    rowStart = rowEnd;
  }
  return await hashOf(file);
};

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
