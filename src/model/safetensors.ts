/**
 * safetensors files: an 8-byte header length, a JSON header, raw little-endian tensors back to back. Writes float32,
 * whole or not at all, and the same tensors and metadata as the same bytes. Reads F32, F16, BF16 and F64 as float32,
 * and checks everything that the format demands: sizes, order, gaps, overlap, truncation.
 */
import { assert, inputError, type SparseError } from "../util/errors.ts";
import { type ByteSource, withFile, writeFileAtomic } from "../util/files.ts";
import { DTYPE_BYTES, firstNonFinite, float32Bytes, toFloat32 } from "./dtypes.ts";

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface SafetensorsFile {
  /** In the order of their data. */
  readonly tensors: Map<string, NamedTensor>;
  readonly metadata: Map<string, string>;
}

const METADATA = "__metadata__";
/** As in the format's own reader: a longer header is an attack or another kind of file. */
const MAX_HEADER = 100_000_000;
const READABLE = ["F32", "F16", "BF16", "F64"] as const;
type ReadableDtype = (typeof READABLE)[number];

/** Writes tensors in the map's order; metadata is sorted by key. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, NamedTensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const header: [string, unknown][] = [];
  const sorted = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sorted.length > 0) header.push([METADATA, Object.fromEntries(sorted)]);
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    assert(name !== METADATA, `${METADATA} is not a tensor name`);
    assert(product(shape) === values.length, `tensor ${name} of shape [${shape}] has ${values.length} values`);
    header.push([name, { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] }]);
    offset += values.byteLength;
  }
  const text = Buffer.from(
    `{${header.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`,
  );
  // Padded with spaces so that the data start at a multiple of 8 and can be mapped.
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, " ");
  head.writeBigUInt64LE(BigInt(head.length - 8));
  text.copy(head, 8);
  writeFileAtomic(path, [head, ...[...tensors.values()].map((t) => float32Bytes(t.values))]);
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function bad(label: string, what: string): SparseError {
  return inputError(
    "bad-safetensors",
    `${label} is not a readable safetensors file: ${what}`,
    "Copy or download the file again.",
  );
}

interface Entry {
  readonly name: string;
  readonly dtype: ReadableDtype;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function checkEntry(label: string, name: string, raw: unknown): Entry {
  const { dtype, shape, data_offsets: offsets } = (raw ?? {}) as Record<string, unknown>;
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw bad(label, `tensor ${name} has a malformed shape or data_offsets`);
  }
  if (!READABLE.includes(dtype as ReadableDtype)) {
    throw inputError(
      "unsupported-dtype",
      `${label}: tensor ${name} has dtype ${JSON.stringify(dtype) ?? "none"}; expected one of ${READABLE.join(", ")}`,
      "Convert the tensor and save the file again.",
    );
  }
  const [start, end] = offsets as [number, number];
  const expected = product(shape) * DTYPE_BYTES[dtype as ReadableDtype];
  if (end - start !== expected) {
    throw bad(label, `tensor ${name} of shape [${shape}]: expected ${expected} bytes but received ${end - start}`);
  }
  return { name, dtype: dtype as ReadableDtype, shape, start, end };
}

function checkMetadata(label: string, raw: unknown): Map<string, string> {
  const pairs = typeof raw === "object" && raw !== null && !Array.isArray(raw) ? Object.entries(raw) : undefined;
  if (!pairs?.every((pair): pair is [string, string] => typeof pair[1] === "string")) {
    throw bad(label, `${METADATA} is not a map of texts`);
  }
  return new Map(pairs);
}

/** The header and where the data begin. */
function readHeader(source: ByteSource): { readonly header: Record<string, unknown>; readonly dataStart: number } {
  const { label, size } = source;
  if (size < 8) throw bad(label, `it has ${size} bytes`);
  const length = new DataView(source.read(0, 8).buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER, size - 8))) {
    throw bad(label, `its header should have ${length} bytes; the file is truncated or of another kind`);
  }
  const text = Buffer.from(source.read(8, Number(length))).toString("utf8");
  let header: unknown;
  try {
    header = text.startsWith("{") ? JSON.parse(text) : undefined;
  } catch {
    // Told below, like a header of another kind.
  }
  if (typeof header !== "object" || header === null) throw bad(label, "its header is not JSON");
  return { header: header as Record<string, unknown>, dataStart: 8 + Number(length) };
}

/** `readSafetensors` from bytes that are already open. */
export function parseSafetensors(
  source: ByteSource,
  options: { readonly allowNonFinite?: boolean } = {},
): SafetensorsFile {
  const { label } = source;
  const { header, dataStart } = readHeader(source);
  const { [METADATA]: rawMetadata, ...rawTensors } = header;
  const metadata = rawMetadata === undefined ? new Map<string, string>() : checkMetadata(label, rawMetadata);
  const entries = Object.entries(rawTensors).map(([name, raw]) => checkEntry(label, name, raw));
  entries.sort((a, b) => a.start - b.start || a.end - b.end);
  let next = 0;
  for (const { name, start, end } of entries) {
    if (start !== next)
      throw bad(label, `tensor ${name} ${start < next ? "overlaps another" : "leaves a gap before it"}`);
    next = end;
  }
  if (dataStart + next !== source.size) {
    throw bad(label, `expected ${dataStart + next} bytes but it has ${source.size}`);
  }
  const tensors = new Map<string, NamedTensor>();
  for (const { name, dtype, shape, start, end } of entries) {
    const values = toFloat32(source.read(dataStart + start, end - start), dtype);
    const at = options.allowNonFinite ? -1 : firstNonFinite(values);
    if (at >= 0) {
      throw inputError(
        "not-finite",
        `${label}: tensor ${name} has the value ${values[at]} at entry ${at}`,
        "The model diverged or the file is damaged; use another checkpoint.",
      );
    }
    tensors.set(name, { shape, values });
  }
  return { tensors, metadata };
}

/** Tensors as float32 and metadata of a file. NaN and infinities are refused unless `allowNonFinite`. */
export function readSafetensors(path: string, options: { readonly allowNonFinite?: boolean } = {}): SafetensorsFile {
  return withFile(path, (source) => parseSafetensors(source, options));
}
