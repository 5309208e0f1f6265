/** The model with a planted circuit, its task and its ablation values, from the parity fixtures. */
import { join } from "node:path";
import type { PairBatch } from "../../src/data/pairs.ts";
import { importRelease } from "../../src/model/import/release.ts";
import { siteSpecs } from "../../src/model/sites.ts";
import { FIXTURES, flatTokens, readJson, readPack } from "../support/fixtures.ts";

interface Task {
  readonly tokens: number[][];
  readonly last: number[];
  readonly right: number[];
  readonly wrong: number[];
  readonly mean_batch_tokens: number[][];
}

export function pruningFixture() {
  const stored = importRelease(join(FIXTURES, "pruning", "model"));
  const specs = siteSpecs(stored.config);
  const task = readJson<Task>("pruning", "task.json");
  const expected = readJson<{
    total_nodes: number;
    planted_kept: Record<string, number[]>;
    calibrated_loss_optimum?: unknown;
  }>("pruning", "expected.json");
  const batch: PairBatch = {
    tokens: flatTokens(task.tokens),
    rows: task.tokens.length,
    length: task.tokens[0]!.length,
    last: Int32Array.from(task.last),
    right: Int32Array.from(task.right),
    wrong: Int32Array.from(task.wrong),
  };
  const fill = new Float32Array(expected.total_nodes);
  for (const [name, { values }] of readPack("pruning", "means")) {
    fill.set(values, specs.find((s) => s.name === name)!.offset);
  }
  const planted = new Uint8Array(expected.total_nodes);
  for (const { name, offset } of specs) for (const c of expected.planted_kept[name] ?? []) planted[offset + c] = 1;
  const rows = task.mean_batch_tokens;
  /** What ablation values are measured on. */
  const text = [{ ids: flatTokens(rows), tokens: { batch: rows.length, length: rows[0]!.length } }];
  return { stored, specs, task, batch, fill, planted, expected, text };
}
