/**
 * TensorBoard event files with scalars: TFRecord frames (length, masked CRC-32C, data, masked CRC-32C) around
 * hand-encoded Event protocol buffers. Only the fields that scalars need:
 *
 *   Event       1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log
 *   Summary     1 value (repeated);  Value: 1 tag string, 2 simple_value float;  SessionLog: 1 status enum (START 1)
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32c } from "../util/crc.ts";
import { fsErrorCode, onFile, writeFully } from "../util/files.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}

function tag(field: number, wire: number): Buffer {
  return Buffer.from(varint(field * 8 + wire));
}

function bytesField(field: number, data: Uint8Array): Buffer {
  return Buffer.concat([tag(field, BYTES), Buffer.from(varint(data.length)), data]);
}

function textField(field: number, text: string): Buffer {
  return bytesField(field, Buffer.from(text));
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([tag(field, VARINT), Buffer.from(varint(value))]);
}

function doubleField(field: number, value: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([tag(field, FIXED64), data]);
}

function floatField(field: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([tag(field, FIXED32), data]);
}

/** TFRecord's checksum: rotated and offset, so that checksums of data with checksums inside are sound. */
function maskedCrc(data: Uint8Array): Buffer {
  const crc = crc32c(data);
  const out = Buffer.alloc(4);
  out.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return out;
}

function frame(data: Uint8Array): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return Buffer.concat([length, maskedCrc(length), data, maskedCrc(data)]);
}

function event(seconds: number, step: number, what: Buffer): Buffer {
  return frame(Buffer.concat([doubleField(1, seconds), varintField(2, step), what]));
}

/** Seconds since 1970; only for the times that TensorBoard shows. */
function wallTime(): number {
  return (performance.timeOrigin + performance.now()) / 1000;
}

/** Appends scalars to a new event file. */
export class EventWriter {
  readonly file: string;
  private readonly fd: number;

  /** A resumed run passes the step it continues from: what an earlier file has from there on is then hidden. */
  constructor(dir: string, resumedAt?: number) {
    const { file, fd } = onFile(dir, "write", () => openNew(dir));
    this.file = file;
    this.fd = fd;
    this.write(event(wallTime(), 0, textField(3, "brain.Event:2")));
    if (resumedAt !== undefined) this.write(event(wallTime(), resumedAt, bytesField(7, varintField(1, 1))));
  }

  scalars(step: number, values: Iterable<readonly [tag: string, value: number]>): void {
    const summary = [...values].map(([name, value]) =>
      bytesField(1, Buffer.concat([textField(1, name), floatField(2, value)])),
    );
    if (summary.length > 0) this.write(event(wallTime(), step, bytesField(5, Buffer.concat(summary))));
  }

  close(): void {
    onFile(this.file, "write", () => fs.closeSync(this.fd));
  }

  private write(data: Buffer): void {
    onFile(this.file, "write", () => writeFully(this.fd, data));
  }
}

/** TensorBoard reads files in the order of their names, so the name starts with the time. */
function openNew(dir: string): { file: string; fd: number } {
  const seconds = String(Math.floor(wallTime())).padStart(10, "0");
  for (let n = 0; ; n++) {
    const file = path.join(dir, `events.out.tfevents.${seconds}.sparse-circuits.${String(n).padStart(3, "0")}`);
    try {
      return { file, fd: fs.openSync(file, "wx") };
    } catch (error) {
      if (fsErrorCode(error) !== "EEXIST") throw error;
    }
  }
}
