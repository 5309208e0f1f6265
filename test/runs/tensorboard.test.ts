/** TensorBoard event files, decoded here from their definition rather than with the code that wrote them. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { EventWriter } from "../../src/runs/tensorboard.ts";
import { refused } from "../support/refused.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();

/** CRC-32C bit by bit, from its definition; masked as TFRecord does. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? 0x82f63b78n : 0n);
  }
  crc ^= 0xffffffffn;
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

function records(file: Buffer): Buffer[] {
  const found: Buffer[] = [];
  let i = 0;
  while (i < file.length) {
    const length = Number(file.readBigUInt64LE(i));
    expect(file.readUInt32LE(i + 8)).toBe(maskedCrc(file.subarray(i, i + 8)));
    const data = file.subarray(i + 12, i + 12 + length);
    expect(file.readUInt32LE(i + 12 + length)).toBe(maskedCrc(data));
    found.push(data);
    i += 16 + length;
  }
  return found;
}

type Field = [field: number, value: number | Buffer];

/** Fields of a protocol buffer: varints, doubles (wire type 1), floats (5) as numbers; the rest as bytes. */
function fields(data: Buffer): Field[] {
  let i = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = data[i++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const found: Field[] = [];
  while (i < data.length) {
    const key = varint();
    const wire = key & 7;
    let value: number | Buffer;
    if (wire === 0) value = varint();
    else if (wire === 1) {
      value = data.readDoubleLE(i);
      i += 8;
    } else if (wire === 5) {
      value = data.readFloatLE(i);
      i += 4;
    } else {
      expect(wire).toBe(2);
      const length = varint();
      value = data.subarray(i, i + length);
      i += length;
    }
    found.push([key >> 3, value]);
  }
  return found;
}

const text = (value: number | Buffer | undefined): string => (value as Buffer).toString("utf8");

describe("event files", () => {
  it("hold the version and then scalars, as TensorBoard reads them", () => {
    const before = Date.now() / 1000;
    const writer = new EventWriter(at());
    writer.scalars(0, [["loss", 4.5]]);
    writer.scalars(300, [
      ["loss", -0.25],
      ["große Norm", Number.NaN],
    ]);
    writer.scalars(5_000_000_000, [["x".repeat(200), 1]]);
    writer.scalars(7, []);
    writer.close();
    expect(path.basename(writer.file)).toMatch(/^events\.out\.tfevents\.\d{10}\./);
    const events = records(fs.readFileSync(writer.file)).map(fields);
    expect(events.length).toBe(4);
    for (const event of events) {
      const [[field, time]] = event as [Field];
      expect(field).toBe(1);
      expect(Math.abs((time as number) - before)).toBeLessThan(60);
    }
    expect(events[0]!.slice(1, 2)).toEqual([[2, 0]]);
    expect(events[0]![2]![0]).toBe(3);
    expect(text(events[0]![2]![1])).toBe("brain.Event:2");
    const scalars = events.slice(1).map((event) => {
      const [, step, summary] = event as [Field, Field, Field];
      expect([event.length, step[0], summary[0]]).toEqual([3, 2, 5]);
      const values = fields(summary[1] as Buffer).map(([field, value]) => {
        expect(field).toBe(1);
        const parts = fields(value as Buffer);
        expect(parts.map(([f]) => f)).toEqual([1, 2]);
        return [text(parts[0]![1]), parts[1]![1]];
      });
      return [step[1], values];
    });
    expect(scalars).toEqual([
      [0, [["loss", 4.5]]],
      [
        300,
        [
          ["loss", -0.25],
          ["große Norm", Number.NaN],
        ],
      ],
      [5_000_000_000, [["x".repeat(200), 1]]],
    ]);
  });

  it("of a resumed run start a session at its step", () => {
    const first = new EventWriter(at());
    const second = new EventWriter(at(), 500);
    first.close();
    second.close();
    expect(path.basename(second.file) > path.basename(first.file)).toBe(true);
    const [, start] = records(fs.readFileSync(second.file)).map(fields);
    expect(start![1]).toEqual([2, 500]);
    expect(start![2]![0]).toBe(7);
    expect(fields(start![2]![1] as Buffer)).toEqual([[1, 1]]);
  });

  it("need a folder", () => {
    expect(refused(() => new EventWriter(at("missing"))).message).toContain(at("missing"));
  });
});
