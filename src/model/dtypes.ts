/**
 * Element types of stored tensors and their conversion to float32. Stored bytes are little-endian, as is every
 * platform that this tool runs on; that is checked once, since whole arrays are reinterpreted without a copy.
 */
import { assert } from "../util/errors.ts";

export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type Dtype = keyof typeof DTYPE_BYTES;

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** float32 of every float16, by its bits. */
let halfTable: Float32Array | undefined;

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Converts stored bytes to float32. For F32 the result shares memory with `bytes`, which must start aligned. */
export function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: Dtype): Float32Array<ArrayBuffer> {
  assert(littleEndian, "big-endian platforms are not supported");
  const { buffer, byteOffset } = bytes;
  const count = bytes.length / DTYPE_BYTES[dtype];
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case "F16": {
      halfTable ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToFloat(bits));
      const table = halfTable;
      return new Float32Array(count).map((_, i) => table[bytes[2 * i]! | (bytes[2 * i + 1]! << 8)]!);
    }
    case "BF16": {
      const out = new Uint32Array(count);
      for (let i = 0; i < count; i++) out[i] = (bytes[2 * i]! << 16) | (bytes[2 * i + 1]! << 24);
      return new Float32Array(out.buffer);
    }
    case "I64": {
      const longs = new BigInt64Array(buffer, byteOffset, count);
      return new Float32Array(count).map((_, i) => Number(longs[i]));
    }
    case "I32":
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case "I16":
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case "I8":
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case "U8":
      return Float32Array.from(bytes);
    case "BOOL":
      return Float32Array.from(bytes, (b) => (b === 0 ? 0 : 1));
  }
}

/** Float32 values as the bytes that are stored; shares memory. */
export function float32Bytes(values: Float32Array): Uint8Array {
  assert(littleEndian, "big-endian platforms are not supported");
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Index of the first NaN or infinity, or -1. */
export function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}
