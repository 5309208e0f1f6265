/** safetensors: round trips, layout, refusals, damage. */
import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type NamedTensor, parseSafetensors, readSafetensors, writeSafetensors } from "../../src/model/safetensors.ts";
import { memorySource } from "../../src/util/files.ts";
import { checkProperty } from "../support/property.ts";
import { readsOrRefuses, refused } from "../support/refused.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();
const parse = (bytes: Uint8Array, options?: { allowNonFinite?: boolean }) =>
  parseSafetensors(memorySource("test.safetensors", bytes), options);

/** A file with the given header, as text or object, and data. */
function file(header: unknown, data: Uint8Array = new Uint8Array(0), claimed?: number): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(claimed ?? text.length));
  return Buffer.concat([length, text, data]);
}

const tensor = fc.array(fc.nat(3), { maxLength: 3 }).chain((shape) => {
  const count = shape.reduce((a, b) => a * b, 1);
  return fc
    .array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: count, maxLength: count })
    .map((values): NamedTensor => ({ shape, values: Float32Array.from(values) }));
});
const name = fc
  .oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "1", 'a"b', "größe"))
  .filter((s) => s !== "__metadata__");

describe("safetensors", () => {
  it("round-trips tensors and metadata, bit for bit, with the same bytes each time", () => {
    checkProperty(
      fc.tuple(
        fc.uniqueArray(fc.tuple(name, tensor), { selector: ([n]) => n, maxLength: 4 }),
        fc.dictionary(fc.string(), fc.string()),
      ),
      100,
      ([pairs, metadata]) => {
        const tensors = new Map(pairs);
        writeSafetensors(at("a"), tensors, metadata);
        const reversed = Object.fromEntries(Object.entries(metadata).reverse());
        writeSafetensors(at("b"), tensors, reversed);
        expect(fs.readFileSync(at("a"))).toEqual(fs.readFileSync(at("b")));
        const read = readSafetensors(at("a"));
        expect([...read.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
        for (const [key, { shape, values }] of tensors) {
          expect(read.tensors.get(key)!.shape).toEqual(shape);
          // Bits, so that -0 counts.
          expect(new Uint32Array(read.tensors.get(key)!.values.slice().buffer)).toEqual(
            new Uint32Array(values.slice().buffer),
          );
        }
        expect(read.metadata).toEqual(new Map(Object.entries(metadata)));
      },
    );
  });

  it("writes the documented layout", () => {
    writeSafetensors(at("f"), new Map([["w", { shape: [2], values: Float32Array.of(1, -2) }]]), { b: "2", a: "1" });
    const bytes = fs.readFileSync(at("f"));
    const length = Number(bytes.readBigUInt64LE());
    expect((8 + length) % 8).toBe(0);
    const header = bytes.subarray(8, 8 + length).toString();
    expect(header.trimEnd()).toBe(
      '{"__metadata__":{"a":"1","b":"2"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    );
    expect(bytes.subarray(8 + length).toString("hex")).toBe("0000803f000000c0");
  });

  it("reads other floating types", () => {
    const data = Buffer.alloc(12);
    data.writeDoubleLE(0.5, 0);
    data.writeUInt16LE(0x3c00, 8);
    data.writeUInt16LE(0xc000, 10);
    const { tensors } = parse(
      file(
        {
          b: { dtype: "BF16", shape: [], data_offsets: [10, 12] },
          d: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
          h: { dtype: "F16", shape: [1, 1], data_offsets: [8, 10] },
        },
        data,
      ),
    );
    expect([...tensors].map(([n, t]) => [n, t.shape, ...t.values])).toEqual([
      ["d", [1], 0.5],
      ["h", [1, 1], 1],
      ["b", [], -2],
    ]);
  });

  it("refuses values that are not finite, unless told otherwise", () => {
    writeSafetensors(at("f"), new Map([["w", { shape: [2], values: Float32Array.of(1, Number.NaN) }]]));
    expect(refused(() => readSafetensors(at("f"))).message).toContain("tensor w has the value NaN at entry 1");
    expect([...readSafetensors(at("f"), { allowNonFinite: true }).tensors.get("w")!.values]).toEqual([1, Number.NaN]);
  });

  const one = (entry: object): object => ({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...entry } });
  const data = new Uint8Array(8);
  it.each<[string, Buffer, RegExp]>([
    ["an empty file", Buffer.alloc(0), /0 bytes/],
    ["a torch file", Buffer.from("PK\x03\x04 and more than eight bytes"), /header should have/],
    ["a header past the end", file(one({}), data, 10_000), /header should have 10000 bytes/],
    ["a header of 2^63 bytes", Buffer.from("0000000000000080", "hex"), /header should have/],
    ["a header that is not JSON", file("{nonsense}"), /not JSON/],
    ["a header that is a list", file("[1]"), /not JSON/],
    ["an entry without shape", file(one({ shape: undefined }), data), /malformed shape/],
    ["an entry that is null", file({ w: null }), /malformed shape/],
    ["a negative shape", file(one({ shape: [-2] }), data), /malformed shape/],
    ["a shape of another size", file(one({ shape: [3] }), data), /expected 12 bytes but received 8/],
    ["an unknown dtype", file(one({ dtype: "I8" }), data), /dtype "I8"/],
    ["missing data", file(one({}), data.subarray(1)), /expected \d+ bytes but it has/],
    ["data after the end", file(one({}), new Uint8Array(9)), /expected \d+ bytes but it has/],
    ["metadata that is not text", file({ ...one({}), __metadata__: { a: 1 } }, data), /__metadata__/],
    [
      "overlap",
      file({ ...one({}), v: { dtype: "F32", shape: [2], data_offsets: [4, 12] } }, new Uint8Array(12)),
      /overlaps/,
    ],
    ["a gap", file({ ...one({}), v: { dtype: "F32", shape: [1], data_offsets: [12, 16] } }, new Uint8Array(16)), /gap/],
  ])("refuses %s", (_, bytes, message) => {
    expect(refused(() => parse(bytes)).message).toMatch(message);
  });

  it("with any damage is read or refused, and cut it is refused", () => {
    const tensors = new Map([
      ["w", { shape: [4, 3], values: Float32Array.from({ length: 12 }, (_, i) => i) }],
      ["b", { shape: [4], values: new Float32Array(4) }],
    ]);
    writeSafetensors(at("f"), tensors, { format: "test" });
    const bytes = fs.readFileSync(at("f"));
    let refusals = 0;
    checkProperty(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), 2000, ([index, value]) => {
      refused(() => parse(bytes.subarray(0, index)));
      const damaged = Buffer.from(bytes);
      damaged[index] = value;
      if (!readsOrRefuses(() => parse(damaged))) refusals++;
    });
    expect(refusals).toBeGreaterThan(500);
  });
});
