/**
 * A drawing as PNG, by resvg compiled to WebAssembly: one file for every platform, no system fonts, so the bytes are the
 * same everywhere. Two pixels for each of the drawing's, fewer where the picture would not fit into memory.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Drawing } from "./drawing.ts";
import { svgText } from "./svg.ts";

const ZOOM = 2;
const MOST_PIXELS = 40_000_000;

const require = createRequire(import.meta.url);
let ready: Promise<void> | undefined;

export async function pngBytes(drawing: Drawing): Promise<Uint8Array> {
  const { initWasm, Resvg } = await import("@resvg/resvg-wasm");
  ready ??= readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")).then(initWasm);
  await ready;
  const zoom = Math.min(ZOOM, Math.sqrt(MOST_PIXELS / (drawing.width * drawing.height)));
  const resvg = new Resvg(svgText(drawing), { fitTo: { mode: "zoom", value: zoom }, font: { loadSystemFonts: false } });
  const image = resvg.render();
  try {
    return image.asPng();
  } finally {
    image.free();
    resvg.free();
  }
}
