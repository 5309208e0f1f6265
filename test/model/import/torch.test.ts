/** Files of torch.save: pickles made by Python's pickler, refusals, and damage of every kind. */
import * as fs from "node:fs";
import * as path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTorchStateDict, readTorchStateDict } from "../../../src/model/import/torch.ts";
import { memorySource } from "../../../src/util/files.ts";
import { FIXTURES, folders } from "../../support/fixtures.ts";
import { checkProperty } from "../../support/property.ts";
import { readsOrRefuses, refused } from "../../support/refused.ts";
import { useTempDir } from "../../support/temp.ts";
import { makeZip, type ZipOptions } from "../../support/zip-file.ts";

const at = useTempDir();

const pickleFixture = (protocol: number): Buffer =>
  fs.readFileSync(path.join(import.meta.dirname, `../../fixtures/torch/protocol${protocol}.pkl`));

/** Records for the pickles of fixtures/torch: 6 entries a storage, in the order of its list of types. */
const RECORDS: readonly Uint8Array[] = [
  new Uint8Array(new Float32Array([1.5, -2, 0.25, 3e30, -0, 7]).buffer),
  // 1, -2, 65504 (largest), 2^-24 (smallest subnormal), 1023 * 2^-24 (largest subnormal), -0
  new Uint8Array(new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000]).buffer),
  // 1, -2, 3.140625, 2^127, -0, 1.0078125
  new Uint8Array(new Uint16Array([0x3f80, 0xc000, 0x4049, 0x7f00, 0x8000, 0x3f81]).buffer),
  new Uint8Array(new Float64Array([0.1, -1e-300, 2, 3, 4, 5]).buffer),
  new Uint8Array(new BigInt64Array([-1n, 2n ** 40n, 0n, 1n, 2n, 3n]).buffer),
  new Uint8Array(new Int32Array([-1, 2 ** 30, 0, 1, 2, 3]).buffer),
  new Uint8Array(new Int16Array([-32768, 32767, 0, 1, 2, 3]).buffer),
  new Uint8Array(new Int8Array([-128, 127, 0, 1, 2, 3]).buffer),
  new Uint8Array([255, 128, 0, 1, 2, 3]),
  new Uint8Array([1, 0, 1, 0, 1, 1]),
];

function zipped(pickle: Uint8Array, options?: ZipOptions, more: Record<string, Uint8Array> = {}): Buffer {
  const records = Object.fromEntries(RECORDS.map((data, i) => [`archive/data/${i}`, data]));
  return makeZip({ "archive/data.pkl": pickle, ...records, ...more }, options);
}

const parse = (bytes: Uint8Array) => parseTorchStateDict(memorySource("test.pt", bytes));

describe.each([2, 4])("a state dict pickled with protocol %i", (protocol) => {
  it.each([false, true])("is read (zip64: %s)", (zip64) => {
    const state = parse(zipped(pickleFixture(protocol), { zip64 }));
    const values = (name: string): number[] => [...state.get(name)!.values];
    expect(state.get("w.Float")!.shape).toEqual([2, 3]);
    expect(values("w.Float")).toEqual([1.5, -2, 0.25, Math.fround(3e30), -0, 7]);
    expect(values("w.Half")).toEqual([1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, -0]);
    expect(values("w.BFloat16")).toEqual([1, -2, 3.140625, 2 ** 127, -0, 1.0078125]);
    expect(values("w.Double")).toEqual([Math.fround(0.1), -0, 2, 3, 4, 5]);
    expect(values("w.Long")).toEqual([-1, 2 ** 40, 0, 1, 2, 3]);
    expect(values("w.Int")).toEqual([-1, 2 ** 30, 0, 1, 2, 3]);
    expect(values("w.Short")).toEqual([-32768, 32767, 0, 1, 2, 3]);
    expect(values("w.Char")).toEqual([-128, 127, 0, 1, 2, 3]);
    expect(values("w.Byte")).toEqual([255, 128, 0, 1, 2, 3]);
    expect(values("w.Bool")).toEqual([1, 0, 1, 0, 1, 1]);
    expect(state.get("transposed")).toEqual({
      shape: [3, 2],
      values: Float32Array.of(1.5, 3e30, -2, -0, 0.25, 7),
    });
    expect(values("offset")).toEqual([-2, -0]);
    expect(state.get("scalar")).toEqual({ shape: [], values: Float32Array.of(7) });
    expect(state.get("empty")).toEqual({ shape: [0, 4], values: new Float32Array(0) });
    expect(values("parameter")).toEqual(values("w.Float"));
    // Views of one storage do not share memory.
    state.get("w.Float")!.values[0] = 99;
    expect(values("parameter")[0]).toBe(1.5);
  });

  it("damaged in any byte of the pickle, is read or refused, never crashes", () => {
    const pickle = pickleFixture(protocol);
    let refusals = 0;
    checkProperty(fc.tuple(fc.nat(pickle.length - 1), fc.nat(255)), 1500, ([index, value]) => {
      const damaged = Buffer.from(pickle);
      damaged[index] = value;
      if (!readsOrRefuses(() => parse(zipped(damaged)))) refusals++;
    });
    expect(refusals).toBeGreaterThan(500);
  });

  it("cut anywhere, is refused", () => {
    const pickle = pickleFixture(protocol);
    for (let length = 0; length < pickle.length; length += 7) refused(() => parse(zipped(pickle.subarray(0, length))));
  });
});

describe("what is not allowed", () => {
  const marker = "/tmp/sparse-circuits-was-executed";
  // pickle.dumps(OrderedDict(a=Evil()), 2) where Evil.__reduce__ returns (os.system, ("touch ...",))
  const evil = Buffer.from(
    `\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aq\x02cposix\nsystem\nq\x03X'\x00\x00\x00touch ${marker}q\x04\x85q\x05Rq\x06s.`,
    "latin1",
  );

  it("a call of os.system is refused by name and not executed", () => {
    fs.rmSync(marker, { force: true });
    const error = refused(() => parse(zipped(evil)));
    expect(error.code).toBe("pickle-global");
    expect(error.message).toContain("posix.system");
    expect(fs.existsSync(marker)).toBe(false);
  });

  it.each([
    "builtins.eval",
    "torch.load",
    "torch._utils._rebuild_tensor_v3",
    "collections.OrderedDict.fromkeys",
    "torch.constructor",
    "__proto__.x",
  ])("%s is refused by name", (name) => {
    const split = name.lastIndexOf(".");
    const pickle = Buffer.from(`\x80\x02c${name.slice(0, split)}\n${name.slice(split + 1)}\n.`, "latin1");
    const error = refused(() => parse(zipped(pickle)));
    expect(error.code).toBe("pickle-global");
    expect(error.message).toContain(name);
  });

  it("a storage class cannot be called", () => {
    expect(refused(() => parse(zipped(Buffer.from("\x80\x02ctorch\nFloatStorage\n)R.", "latin1")))).message).toContain(
      "torch.FloatStorage cannot be called",
    );
  });

  it.each<[string, string, RegExp]>([
    ["nothing", "\x80\x02", /truncated/],
    ["pop of an empty stack", "\x80\x02.", /missing on the stack/],
    ["a missing mark", "\x80\x02t.", /mark is missing/],
    ["a missing memo entry", "\x80\x02h\x05.", /memo entry 5/],
    ["append to a dict", "\x80\x02}K\x01a.", /not a list/],
    ["set an item of a list", "\x80\x02]K\x01K\x02s.", /not a dict/],
    ["an odd number of items", "\x80\x02}(K\x01u.", /key without a value/],
    ["a dict as key", "\x80\x02}}K\x02s.", /neither text nor a number/],
    ["an unknown opcode", "\x80\x02\xff.", /opcode 0xff/],
    ["protocol 9", "\x80\x09.", /protocol 9/],
    ["a huge integer", "\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.", /out of range/],
    ["text longer than the file", "\x80\x02X\xff\xff\xff\xff.", /truncated/],
    ["BUILD of a list", "\x80\x02]}b.", /sets the state/],
    ["a list", "\x80\x02].", /expected a state dict/],
    ["a dict of numbers", "\x80\x02}X\x01\x00\x00\x00aK\x01s.", /"a" is not a tensor/],
    ["a foreign persistent id", "\x80\x02K\x01Q.", /persistent id/],
  ])("%s is refused", (_, pickle, message) => {
    expect(refused(() => parse(zipped(Buffer.from(pickle, "latin1")))).message).toMatch(message);
  });
});

/** A pickle of {"w": _rebuild_tensor_v2(FloatStorage "0" of 6, offset, size, stride)} with one-byte numbers. */
function viewPickle(offset: number, size: readonly number[], stride: readonly number[], length = 6): Buffer {
  const int = (n: number): string => `K${String.fromCharCode(n)}`;
  const tuple = (items: readonly number[]): string => `(${items.map(int).join("")}t`;
  const text = (s: string): string => `X${String.fromCharCode(s.length)}\0\0\0${s}`;
  const storage = `(${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}${int(length)}tQ`;
  const call = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(offset)}${tuple(size)}${tuple(stride)}\x89}tR`;
  return Buffer.from(`\x80\x02}${text("w")}${call}s.`, "latin1");
}

describe("views of a storage", () => {
  it("are exactly the entries that size, stride and offset name", () => {
    const values = new Float32Array(RECORDS[0]!.buffer);
    const dims = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(4)), { maxLength: 3 });
    checkProperty(fc.tuple(fc.nat(6), dims), 500, ([offset, axes]) => {
      const size = axes.map(([n]) => n);
      const stride = axes.map(([, s]) => s);
      const expected: number[] = [];
      const visit = (d: number, index: number): void => {
        if (d === size.length) expected.push(index);
        else for (let i = 0; i < size[d]!; i++) visit(d + 1, index + i * stride[d]!);
      };
      visit(0, offset);
      const file = zipped(viewPickle(offset, size, stride));
      if (expected.some((i) => i >= 6) || expected.length > 6) {
        expect(refused(() => parse(file)).message).toContain("does not fit its storage");
      } else {
        expect([...parse(file).get("w")!.values]).toEqual(expected.map((i) => values[i]!));
      }
    });
  });

  it("must fit the record", () => {
    expect(refused(() => parse(zipped(viewPickle(0, [7], [1], 7)))).message).toContain(
      "expected 28 bytes but received 24",
    );
  });
});

describe("files", () => {
  it("that are not zips are refused with what they are", () => {
    const code = (bytes: string): string => refused(() => parse(Buffer.from(bytes, "latin1"))).code;
    expect(code("")).toBe("not-a-torch-file");
    expect(code("hello")).toBe("not-a-torch-file");
    expect(code("version https://git-lfs.github.com/spec/v1\noid sha256:0")).toBe("git-lfs-pointer");
    expect(code("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")).toBe("old-torch-file");
    expect(code("PK\x03\x04 and no end")).toBe("bad-zip");
    expect(refused(() => readTorchStateDict(at("none.pt"))).message).toContain(at("none.pt"));
  });

  it("with compressed entries, wrong checksums or missing records are refused", () => {
    const pickle = pickleFixture(2);
    expect(refused(() => parse(zipped(pickle, { method: 8 }))).code).toBe("compressed-zip");
    expect(refused(() => parse(zipped(pickle, { wrongCrc: true }))).code).toBe("zip-checksum");
    expect(refused(() => parse(makeZip({ "archive/data.pkl": pickle }))).message).toContain(
      "archive/data/0 is missing",
    );
    expect(refused(() => parse(makeZip({ "archive/version": pickle }))).message).toContain("data.pkl is missing");
  });

  it("ignore extra records but not a foreign byte order", () => {
    const pickle = pickleFixture(2);
    const extra = { "archive/version": Buffer.from("3\n"), "archive/.data/serialization_id": Buffer.from("1") };
    expect(parse(zipped(pickle, {}, { ...extra, "archive/byteorder": Buffer.from("little") })).size).toBe(15);
    expect(refused(() => parse(zipped(pickle, {}, { "archive/byteorder": Buffer.from("big") }))).code).toBe(
      "big-endian",
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("with %s are refused, naming the tensor", (value) => {
    const data = new Uint8Array(new Float32Array([1, 2, 3, value, 5, 6]).buffer);
    const file = makeZip({ "a/data.pkl": viewPickle(0, [6], [1]), "a/data/0": data });
    expect(refused(() => parse(file)).message).toContain(`tensor w has the value ${value} at entry 3`);
  });

  const file = fs.readFileSync(path.join(FIXTURES, "checkpoints", folders("a-", "checkpoints")[0]!, "final_model.pt"));

  it("cut anywhere are refused", () => {
    checkProperty(fc.nat(file.length - 1), 300, (length) => {
      refused(() => parse(file.subarray(0, length)));
    });
  });

  it("with any byte changed are refused, or read as they were", () => {
    const intact = parse(file);
    let read = 0;
    checkProperty(fc.tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 })), 500, ([index, change]) => {
      const damaged = Buffer.from(file);
      damaged[index] = damaged[index]! ^ change;
      let state: ReturnType<typeof parse> | undefined;
      if (readsOrRefuses(() => (state = parse(damaged)))) {
        read++;
        expect(state).toEqual(intact);
      }
    });
    // Padding and dates may change; weights and structure may not.
    expect(read).toBeLessThan(250);
  });
});
