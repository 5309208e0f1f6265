/** A file's bytes cut at a separator, a record at a time, whatever the size of the file; gzip is unpacked on the way. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { createGunzip } from "node:zlib";
import { inputError } from "../../util/errors.ts";
import { describeFsError } from "../../util/files.ts";

/** Bytes of one record, at most: a file without separators must not fill the memory. */
const LARGEST_RECORD = 64 * 2 ** 20;

export interface Record {
  readonly bytes: Buffer;
  /** From 1; with newlines as separators the line. */
  readonly number: number;
}

/**
 * The records of a file; a separator at the end of the file ends the last one. Returns the SHA-256 of the file as it
 * lies on the disk.
 *
 * @throws inputError when the file cannot be read or unpacked, or a record is over 64 MiB.
 */
export async function* records(file: string, separator: string): AsyncGenerator<Record, string> {
  const cut = Buffer.from(separator);
  const hash = createHash("sha256");
  const raw = fs.createReadStream(file, { highWaterMark: 2 ** 20 });
  raw.on("data", (chunk) => hash.update(chunk));
  const isGzip = file.endsWith(".gz");
  const stream = isGzip ? raw.pipe(createGunzip()) : raw;
  // A pipe does not pass errors on.
  if (isGzip) raw.on("error", (error) => stream.destroy(error));
  let rest = Buffer.alloc(0);
  let number = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let from = Math.max(0, rest.length - cut.length + 1);
      rest = Buffer.concat([rest, chunk]);
      let start = 0;
      for (let at = rest.indexOf(cut, from); at >= 0; at = rest.indexOf(cut, from)) {
        yield { bytes: rest.subarray(start, at), number: ++number };
        start = from = at + cut.length;
      }
      rest = rest.subarray(start);
      if (rest.length > LARGEST_RECORD) {
        throw inputError(
          "corpus-record",
          `${file}: record ${number + 1} is longer than 64 MiB`,
          `Check that its records are separated by ${JSON.stringify(separator)} (--separator, for text files).`,
        );
      }
    }
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw describeFsError(error, file, "read");
    throw inputError(
      "corpus-gzip",
      `${file} cannot be unpacked: ${message}, after record ${number}`,
      "Copy or download the file again, or leave it out.",
      error,
    );
  } finally {
    raw.destroy();
  }
  if (rest.length > 0) yield { bytes: rest, number: ++number };
  return hash.digest("hex");
}
