/** Real text to train tokenizers on: the start of Python's standard library, else this project's own sources. */
import { isUtf8 } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { python } from "./python.ts";

const OWN = path.resolve(import.meta.dirname, "../../src");

function folder(): string {
  if (python === undefined) return OWN;
  const { stdout } = spawnSync(python, ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]);
  return String(stdout).trim();
}

/** Whole files, in the order of names, until there are as many bytes. */
export function realText(bytes: number): string[] {
  const texts: string[] = [];
  const from = folder();
  let left = bytes;
  for (const name of fs.readdirSync(from, { recursive: true, encoding: "utf8" }).sort()) {
    if (!/\.(py|ts)$/.test(name) || left <= 0) continue;
    const content = fs.readFileSync(path.join(from, name));
    if (!isUtf8(content)) continue;
    texts.push(content.toString());
    left -= content.length;
  }
  return texts;
}
