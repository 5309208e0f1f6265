/** Makes zip files for tests: stored entries, optionally with zip64 records, and ways to be wrong. */
import { crc32 } from "../../src/util/crc.ts";

export interface ZipOptions {
  /** Sizes and offsets in zip64 fields, as in files over 4 GiB. */
  readonly zip64?: boolean;
  /** Compression method that the headers claim; 0 is stored. */
  readonly method?: number;
  /** Adds to every checksum. */
  readonly wrongCrc?: boolean;
}

const ALL_ONES = 0xffffffff;

function u16(n: number): Buffer {
  const b = Buffer.alloc(2);
  b.writeUInt16LE(n);
  return b;
}

function u32(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
}

function u64(n: number): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(n));
  return b;
}

export function makeZip(entries: Readonly<Record<string, Uint8Array>>, options: ZipOptions = {}): Buffer {
  const { zip64 = false, method = 0, wrongCrc = false } = options;
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  const add = (...bytes: Uint8Array[]): void => {
    for (const b of bytes) {
      parts.push(Buffer.from(b));
      offset += b.length;
    }
  };
  for (const [name, data] of Object.entries(entries)) {
    const start = offset;
    const crc = u32((crc32(data) + (wrongCrc ? 1 : 0)) >>> 0);
    const size = u32(zip64 ? ALL_ONES : data.length);
    // The local extra field pads the data to a multiple of 64, as torch.save does.
    const padding = (64 - ((offset + 30 + name.length + 4) % 64)) % 64;
    const common = [u16(0), u16(method), u32(0), crc, size, size, u16(name.length)];
    add(Buffer.from("PK\x03\x04"), u16(45), ...common, u16(4 + padding), Buffer.from(name), u16(0x4246), u16(padding));
    add(Buffer.alloc(padding, "Z"), data);
    const extra = zip64
      ? Buffer.concat([u16(1), u16(24), u64(data.length), u64(data.length), u64(start)])
      : Buffer.alloc(0);
    central.push(
      Buffer.concat([
        Buffer.from("PK\x01\x02"),
        u16(45),
        u16(45),
        ...common,
        u16(extra.length),
        u16(0),
        u16(0),
        u16(0),
        u32(0),
      ]),
      u32(zip64 ? ALL_ONES : start),
      Buffer.from(name),
      extra,
    );
  }
  const directory = Buffer.concat(central);
  const directoryStart = offset;
  const count = Object.keys(entries).length;
  add(directory);
  if (zip64) {
    const recordStart = offset;
    add(Buffer.from("PK\x06\x06"), u64(44), u16(45), u16(45), u32(0), u32(0), u64(count), u64(count));
    add(u64(directory.length), u64(directoryStart));
    add(Buffer.from("PK\x06\x07"), u32(0), u64(recordStart), u32(1));
  }
  const shown = zip64 ? 0xffff : count;
  add(Buffer.from("PK\x05\x06"), u16(0), u16(0), u16(shown), u16(shown));
  add(u32(zip64 ? ALL_ONES : directory.length), u32(zip64 ? ALL_ONES : directoryStart), u16(0));
  return Buffer.concat(parts);
}
