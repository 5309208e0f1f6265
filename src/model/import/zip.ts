/**
 * The part of zip that torch.save writes: stored (uncompressed) entries, with zip64 sizes in large files. Reads the
 * central directory once and entries on demand; checks bounds and CRC-32. Not a general unzipper: compressed,
 * encrypted and multi-disk archives are refused.
 */
import { crc32 } from "../../util/crc.ts";
import { inputError, type SparseError } from "../../util/errors.ts";
import type { ByteSource } from "../../util/files.ts";

export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  /** Offset of the local header. */
  readonly offset: number;
}

const END = 0x06054b50;
const END_BYTES = 22;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const LOCATOR64_BYTES = 20;
const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const MAX_COMMENT = 65535;
/** A value of all ones says that the real one is in the zip64 record. */
const IN_ZIP64 = 0xffffffff;

function damaged(label: string, what: string): SparseError {
  return inputError("bad-zip", `${label} is not a readable zip file: ${what}`, "Copy or download the file again.");
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function uint64(data: DataView, offset: number, label: string): number {
  const value = data.getBigUint64(offset, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(label, "a 64-bit size is out of range");
  return Number(value);
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

/** Finds the central directory from the end of the file. */
function findDirectory(source: ByteSource): Directory {
  const { label } = source;
  const tailSize = Math.min(source.size, END_BYTES + MAX_COMMENT);
  const tailStart = source.size - tailSize;
  const tail = view(source.read(tailStart, tailSize));
  let at = tailSize - END_BYTES;
  while (at >= 0 && !(tail.getUint32(at, true) === END && at + END_BYTES + tail.getUint16(at + 20, true) === tailSize))
    at--;
  if (at < 0) throw damaged(label, "the directory at its end is missing; the file is truncated or of another kind");
  if (tail.getUint16(at + 4, true) !== tail.getUint16(at + 6, true))
    throw damaged(label, "it is split over several files");
  const plain = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const end = tailStart + at;
  const directory =
    plain.count === 0xffff || plain.size === IN_ZIP64 || plain.offset === IN_ZIP64
      ? (findDirectory64(source, end) ?? plain)
      : plain;
  if (directory.offset + directory.size > end) throw damaged(label, "its directory is outside the file");
  return directory;
}

/** The zip64 end record, which a locator just before the plain end record points to. */
function findDirectory64(source: ByteSource, end: number): Directory | undefined {
  if (end < LOCATOR64_BYTES) return undefined;
  const locator = view(source.read(end - LOCATOR64_BYTES, LOCATOR64_BYTES));
  if (locator.getUint32(0, true) !== LOCATOR64) return undefined;
  const record = view(source.read(uint64(locator, 8, source.label), 56));
  if (record.getUint32(0, true) !== END64) throw damaged(source.label, "its zip64 record is missing");
  return {
    count: uint64(record, 32, source.label),
    size: uint64(record, 40, source.label),
    offset: uint64(record, 48, source.label),
  };
}

/** Sizes and offset of a central record, taken from its zip64 field where the plain ones are all ones. */
function recordSizes(data: DataView, at: number, nameLength: number, extraLength: number, label: string) {
  const sizes = {
    plainSize: data.getUint32(at + 24, true),
    storedSize: data.getUint32(at + 20, true),
    offset: data.getUint32(at + 42, true),
  };
  let field = at + CENTRAL_BYTES + nameLength;
  const end = field + extraLength;
  while (field + 4 <= end) {
    const id = data.getUint16(field, true);
    const fieldEnd = field + 4 + data.getUint16(field + 2, true);
    if (fieldEnd > end) throw damaged(label, "a directory record is malformed");
    if (id === 1) {
      let next = field + 4;
      for (const key of ["plainSize", "storedSize", "offset"] as const) {
        if (sizes[key] !== IN_ZIP64) continue;
        if (next + 8 > fieldEnd) throw damaged(label, "a zip64 record is malformed");
        sizes[key] = uint64(data, next, label);
        next += 8;
      }
    }
    field = fieldEnd;
  }
  return sizes;
}

/** All entries by name. */
export function readZipDirectory(source: ByteSource): Map<string, ZipEntry> {
  const { label } = source;
  const { offset, size, count } = findDirectory(source);
  const data = view(source.read(offset, size));
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > size || data.getUint32(at, true) !== CENTRAL)
      throw damaged(label, "its directory is malformed");
    const nameLength = data.getUint16(at + 28, true);
    const extraLength = data.getUint16(at + 30, true);
    const end = at + CENTRAL_BYTES + nameLength + extraLength + data.getUint16(at + 32, true);
    if (end > size) throw damaged(label, "its directory is malformed");
    const name = Buffer.from(data.buffer, at + CENTRAL_BYTES, nameLength).toString("utf8");
    const sizes = recordSizes(data, at, nameLength, extraLength, label);
    const method = data.getUint16(at + 10, true);
    if (method !== 0 || sizes.plainSize !== sizes.storedSize || (data.getUint16(at + 8, true) & 1) !== 0) {
      throw inputError(
        "compressed-zip",
        `${label}: entry ${name} is compressed or encrypted (method ${method}); torch.save writes stored entries`,
        "Load the file in Python and save it again with torch.save.",
      );
    }
    if (entries.has(name)) throw damaged(label, `entry ${name} appears twice`);
    entries.set(name, { name, size: sizes.plainSize, crc: data.getUint32(at + 16, true), offset: sizes.offset });
    at = end;
  }
  return entries;
}

/** The bytes of an entry; its checksum is verified. */
export function readZipEntry(source: ByteSource, entry: ZipEntry): Uint8Array<ArrayBuffer> {
  const header = view(source.read(entry.offset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== LOCAL) throw damaged(source.label, `entry ${entry.name} has no header`);
  // The local header's own lengths count: torch pads it so that the data start at a multiple of 64.
  const start = entry.offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  const bytes = source.read(start, entry.size);
  const crc = crc32(bytes);
  if (crc !== entry.crc) {
    throw inputError(
      "zip-checksum",
      `${source.label}: entry ${entry.name} is damaged: expected checksum ${hex(entry.crc)} but received ${hex(crc)}`,
      "Copy or download the file again. (A file saved under torch.serialization.set_crc32_options(False) must be saved again without it.)",
    );
  }
  return bytes;
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
