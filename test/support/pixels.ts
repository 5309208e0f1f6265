/** Pictures as grey pixels, to compare what different programs draw. */
import * as fs from "node:fs";
import * as path from "node:path";
import { inflateSync } from "node:zlib";
import { call } from "./programs.ts";

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 0 black to 255 white, row after row. */
  readonly grey: Float64Array;
}

function greyOf(width: number, height: number, bytes: Uint8Array, channels: number): Pixels {
  const grey = new Float64Array(width * height);
  for (const i of grey.keys()) {
    const [r, g, b] = [bytes[i * channels]!, bytes[i * channels + 1]!, bytes[i * channels + 2]!];
    grey[i] = (r + g + b) / 3;
  }
  return { width, height, grey };
}

/** A PNG of 8-bit RGBA without interlacing (PNG specification, 4 and 9: chunks and filters). */
export function decodePng(png: Uint8Array): Pixels {
  const bytes = Buffer.from(png);
  if (bytes.readUInt32BE(0) !== 0x89504e47) throw new Error("not a PNG");
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (bytes[24] !== 8 || bytes[25] !== 6 || bytes[28] !== 0) throw new Error("not 8-bit RGBA");
  const data: Buffer[] = [];
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString("latin1", at + 4, at + 8) === "IDAT") {
      data.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
    }
  }
  const raw = inflateSync(Buffer.concat(data));
  const stride = 4 * width;
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)]!;
    for (let x = 0; x < stride; x++) {
      const left = x < 4 ? 0 : out[y * stride + x - 4]!;
      const up = y === 0 ? 0 : out[(y - 1) * stride + x]!;
      const corner = x < 4 || y === 0 ? 0 : out[(y - 1) * stride + x - 4]!;
      const guess = left + up - corner;
      const [a, b, c] = [left, up, corner].map((v) => Math.abs(guess - v)) as [number, number, number];
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      const base = [0, left, up, (left + up) >> 1, paeth][filter]!;
      out[y * stride + x] = raw[y * (stride + 1) + 1 + x]! + base;
    }
  }
  return greyOf(width, height, out, 4);
}

/** The only page of a PDF, by Poppler; a pixel is 0.75 points. */
export function renderPdf(folder: string, pdf: string | Uint8Array): Pixels {
  const file = path.join(folder, "rendered");
  fs.writeFileSync(`${file}.pdf`, pdf);
  call("pdftoppm", ["-r", "96", "-singlefile", `${file}.pdf`, file]);
  const bytes = fs.readFileSync(`${file}.ppm`);
  const [header, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString("latin1", 0, 64))!;
  return greyOf(Number(width), Number(height), bytes.subarray(header.length), 3);
}

/** Ink in each cell of a grid of `columns` x `rows` over the picture, 0 to 1. */
export function inkGrid({ width, height, grey }: Pixels, columns: number, rows: number): number[] {
  const [sums, counts] = [new Array<number>(columns * rows).fill(0), new Array<number>(columns * rows).fill(0)];
  for (const [i, value] of grey.entries()) {
    const column = Math.floor(((i % width) * columns) / width);
    const cell = Math.floor((Math.floor(i / width) * rows) / height) * columns + column;
    sums[cell]! += 1 - value / 255;
    counts[cell]!++;
  }
  return sums.map((sum, i) => sum / counts[i]!);
}

/** Pearson's r of the ink of two pictures over a grid. */
export function likeness(a: Pixels, b: Pixels, columns = 60, rows = 60): number {
  const [x, y] = [inkGrid(a, columns, rows), inkGrid(b, columns, rows)];
  const mean = (v: readonly number[]): number => v.reduce((s, e) => s + e, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const dot = (p: readonly number[], mp: number, q: readonly number[], mq: number): number =>
    p.reduce((s, e, i) => s + (e - mp) * (q[i]! - mq), 0);
  return dot(x, mx, y, my) / Math.sqrt(dot(x, mx, x, mx) * dot(y, my, y, my));
}
