/** `sparse forward`: logits and activations of given tokens, as a safetensors file. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { z } from "zod";
import type { Activation } from "../../engine/engine.ts";
import { Tape } from "../../engine/tape.ts";
import { checkTokens, finalHidden, logitsOf } from "../../model/forward.ts";
import { Model } from "../../model/model.ts";
import { type NamedTensor, writeSafetensors } from "../../model/safetensors.ts";
import { type HookName, RECORDED, SITES } from "../../model/sites.ts";
import { loadModel } from "../../runs/open.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, readText } from "../../util/files.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { select } from "../glob.ts";
import { jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { plural, table } from "../render.ts";

interface Flags extends EngineFlags {
  readonly tokens: string;
  readonly out: string;
  readonly sites?: string;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<model>", "run (its newest checkpoint), checkpoint folder, or folder of a released model")
    .addOption(new Option("--tokens <file>", "token ids as JSON: [[1, 2, 3], [4, 5, 6]]").makeOptionMandatory())
    .addOption(new Option("--out <file>", "safetensors file to write").makeOptionMandatory())
    .addOption(new Option("--sites <glob>", "activations to write beside the logits, such as '*.mlp.post_act' or '*'"));
  engineOptions(command);
  jsonOption(command)
    .addHelpText("after", EXAMPLES)
    .action((model: string, flags: Flags) => forward(model, flags, out));
}

const EXAMPLES = examplesText([
  ["sparse forward runs/quotes --tokens ids.json --out logits.safetensors", "logits [B, T, V]"],
  ["sparse forward runs/quotes --tokens ids.json --out all.safetensors --sites '*'", "and every activation"],
  ["sparse forward runs/quotes --tokens ids.json --out mlp.safetensors --sites '1.mlp.*'", "of one block"],
]);

async function forward(dir: string, flags: Flags, out: Output): Promise<void> {
  const started = performance.now();
  const stored = loadModel(dir);
  const rows = readTokens(flags.tokens);
  const sites = flags.sites === undefined ? [] : select(flags.sites, hookNames(stored.config.layers), "--sites");
  const tokens = { batch: rows.length, length: rows[0]!.length };
  const engine = await openEngine(flags, out);
  try {
    const model = new Model(engine, stored);
    checkIds(rows, stored.config.vocabSize);
    const ids = Int32Array.from(rows.flat());
    checkTokens(model, ids, tokens);
    ensureWritableDir(path.dirname(path.resolve(flags.out)));
    const tensors = new Map<string, NamedTensor>();
    const wanted = new Set(sites);
    const tape = new Tape(engine, "nothing");
    const keep = (name: string, x: Activation): void => {
      tensors.set(name, { shape: [tokens.batch, tokens.length, x.width], values: engine.read(x) });
    };
    const record = (name: string, x: Activation): void => {
      if (wanted.has(name)) keep(name, x);
    };
    const logits = logitsOf(tape, model, finalHidden(tape, model, ids, tokens, { record }), ids);
    const activations = [...tensors];
    tensors.clear();
    keep("logits", logits);
    for (const [name, tensor] of activations) tensors.set(name, tensor);
    tape.free();
    writeSafetensors(flags.out, tensors, { model: dir, tokens: JSON.stringify(rows) });
    const shapes = Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape]));
    out.line(`${plural(rows.length, "prompt")} of ${plural(tokens.length, "token")} into ${flags.out}`);
    const cells = [...tensors].map(([name, { shape }]) => [name, shape.join(" x ")]);
    out.line(table([{ title: "tensor" }, { title: "shape" }], cells, { style: out.style }));
    const seconds = (performance.now() - started) / 1000;
    out.done({ model: dir, file: flags.out, ...tokens, tensors: shapes, engine: engine.info.name, seconds });
  } finally {
    engine.dispose();
  }
}

/** Everything that a forward pass can record. */
function hookNames(layers: number): HookName[] {
  const inLayer = [...RECORDED, ...SITES];
  const names = Array.from({ length: layers }, (_, layer) => inLayer.map((name) => `${layer}.${name}` as HookName));
  return [...names.flat(), "final_resid"];
}

const rowsSchema = z.array(z.array(z.number().int()).min(1)).min(1);
const fileSchema = z.union([rowsSchema, z.object({ tokens: rowsSchema }).transform((file) => file.tokens)]);

/** Prompts of one length; the ids are checked against the model later. */
function readTokens(file: string): number[][] {
  let data: unknown;
  try {
    data = JSON.parse(readText(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw inputError("not-json", `${file} is not valid JSON: ${error.message}`, FORM);
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success) throw inputError("tokens-file", `${file} does not hold rows of token ids`, FORM);
  const rows = parsed.data;
  const length = rows[0]!.length;
  const ragged = rows.findIndex((row) => row.length !== length);
  if (ragged >= 0) {
    throw inputError(
      "ragged-rows",
      `${file}: row ${ragged} has ${plural(rows[ragged]!.length, "token")} but row 0 has ${length}`,
      "Give rows of equal length, or one file for each length.",
    );
  }
  return rows;
}

/** Before they become 32-bit numbers, which would turn a large one into another id. */
function checkIds(rows: readonly (readonly number[])[], vocabSize: number): void {
  for (const [r, row] of rows.entries()) {
    const at = row.findIndex((id) => id < 0 || id >= vocabSize);
    if (at < 0) continue;
    throw inputError(
      "token-id",
      `token id ${row[at]} at row ${r}, position ${at} is out of range`,
      `The model's ids are 0 to ${vocabSize - 1}.`,
    );
  }
}

const FORM = 'Expected rows of whole numbers, such as [[1, 2, 3], [4, 5, 6]] or {"tokens": [[1, 2, 3]]}.';
