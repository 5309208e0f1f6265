/**
 * metrics.jsonl: one JSON object a line, appended in one write each. A kill can tear the last line only; readers skip
 * it. NaN and infinities are written as null, as JSON has none.
 */
import * as fs from "node:fs";
import { inputError } from "../util/errors.ts";
import { onFile, readText, writeFully } from "../util/files.ts";
import { type JsonObject, parseJsonObject } from "../util/json.ts";

/** `step` and whatever else was measured. */
export type MetricsRow = { readonly step: number } & JsonObject;

export class MetricsWriter {
  private readonly file: string;
  private readonly fd: number;
  /** Length of the file, for checkpoints. */
  bytes: number;

  /** Continues a file after its first `keepBytes` bytes; what follows them is dropped. */
  constructor(file: string, keepBytes: number) {
    this.file = file;
    const opened = onFile(file, "write", () => {
      const fd = fs.openSync(file, "a");
      try {
        const { size } = fs.fstatSync(fd);
        if (size > keepBytes) fs.ftruncateSync(fd, keepBytes);
        return { fd, bytes: Math.min(size, keepBytes) };
      } catch (error) {
        fs.closeSync(fd);
        throw error;
      }
    });
    this.fd = opened.fd;
    this.bytes = opened.bytes;
  }

  append(row: MetricsRow): void {
    const line = Buffer.from(`${JSON.stringify(row)}\n`);
    onFile(this.file, "write", () => writeFully(this.fd, line));
    this.bytes += line.length;
  }

  /** Makes what was appended survive a power loss. */
  flush(): void {
    onFile(this.file, "write", () => fs.fsyncSync(this.fd));
  }

  close(): void {
    onFile(this.file, "write", () => fs.closeSync(this.fd));
  }
}

/** All complete lines of a metrics file. */
export function readMetricsFile(file: string): MetricsRow[] {
  const lines = readText(file).split("\n");
  lines.pop(); // Empty after the last newline, or torn.
  return lines.map((line, i) => {
    const row = parseJsonObject(line, `${file}, line ${i + 1}`);
    if (typeof row.step !== "number") {
      throw inputError("bad-metrics", `${file}, line ${i + 1}: "step" is not a number`, "Restore the file.");
    }
    return row as MetricsRow;
  });
}
