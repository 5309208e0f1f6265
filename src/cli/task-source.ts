/**
 * What `--task` stands for: names of the registry, or a file of the user's own. A file is one text that says everything:
 * a TypeScript or JavaScript module whose default export is a task, or a list of pairs (data/pair-list.ts). The run keeps
 * the text, and from then on the tasks come from there: the original may change, move or go.
 *
 * Modules are translated and run by jiti: the loader that ESLint uses for its TypeScript configuration, plain JavaScript
 * of 2 MB without dependencies, and it keeps line numbers. (Node strips types itself only from version 22 on; amaro, which
 * it uses for that, needs 22 too; tsx and esbuild bring 10 MB for each platform.) It is loaded when such a file is given.
 */
import * as path from "node:path";
import { z } from "zod";
import { findTasks, TASKS } from "../../tasks/index.ts";
import { pairListTask } from "../data/pair-list.ts";
import { type Draft, type Draw, type Probe, TASK_LOSSES, type TaskSpec } from "../data/task.ts";
import type { Run } from "../runs/open.ts";
import { inputError, SparseError } from "../util/errors.ts";
import { readText } from "../util/files.ts";
import { parseSchema } from "../util/json.ts";
import { nearest } from "../util/nearest.ts";

const MODULES = [".ts", ".mts", ".js", ".mjs", ".cjs"];
const PAIRS = ".jsonl";

/** Tasks, and the user's file that they come from, if they do. */
export interface TaskSource {
  readonly tasks: readonly TaskSpec[];
  readonly file?: { readonly name: string; readonly text: string };
}

/** @throws inputError for an unknown name, or a file that is not a task, with the line where there is one. */
export async function taskSource(typed: string): Promise<TaskSource> {
  if (isTaskFile(typed)) {
    const text = readText(typed);
    const read = path.extname(typed) === PAIRS ? pairListTask : moduleTask;
    return { tasks: [await read(text, typed, nameOf(typed))], file: { name: path.basename(typed), text } };
  }
  if (!/[/\\]/.test(typed)) return { tasks: findTasks(typed) };
  throw inputError(
    "task-file",
    `${typed} is not a task file`,
    `Give a file ending in ${[...MODULES, PAIRS].join(", ")}, or a name that \`sparse tasks\` lists.`,
  );
}

export const TASK_HELP =
  "task, group of tasks or all (`sparse tasks` lists them), several with commas between them, or a file: a task as TypeScript or JavaScript, or pairs as .jsonl";

/** The tasks that a run was started with; `typed` is its setting `task`. */
export async function tasksOf({ paths }: Run, typed: string): Promise<readonly TaskSpec[]> {
  return (await taskSource(isTaskFile(typed) ? path.join(paths.task, path.basename(typed)) : typed)).tasks;
}

function isTaskFile(typed: string): boolean {
  return [...MODULES, PAIRS].includes(path.extname(typed));
}

/** `my pairs.jsonl` as `my_pairs`: the name of a task that does not say its own. */
function nameOf(file: string): string {
  return path.parse(file).name.replace(/[^A-Za-z0-9_-]/g, "_");
}

const draw = z.custom<Draw>((value) => typeof value === "function", "expected a function");
const weights = z.record(z.string(), z.number().min(0));
const nonEmpty = z.string().min(1);

const taskSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, "expected letters, digits, _ and -")
    .exactOptional(),
  aliases: z.array(nonEmpty).exactOptional(),
  group: nonEmpty.exactOptional(),
  doc: z.string().exactOptional(),
  loss: z.enum(TASK_LOSSES).exactOptional(),
  sameLength: z.boolean().exactOptional(),
  heldOutWindow: z.number().int().min(1).exactOptional(),
  draft: draw,
  variants: z.record(z.string(), draw).exactOptional(),
  probes: z
    .record(
      z.string(),
      z.strictObject({
        doc: z.string(),
        values: z.array(z.number()).min(1),
        draw: z.custom<Probe["draw"]>((v) => typeof v === "function", "expected a function"),
      }),
    )
    .exactOptional(),
  preamble: weights.exactOptional(),
  focus: weights.exactOptional(),
});
const FIELDS = [...Object.keys(taskSchema.shape), "values", "draw"];

/** The default export of a module, checked; what it leaves out is filled in. */
async function moduleTask(text: string, file: string, name: string): Promise<TaskSpec> {
  const spec = parseSchema(taskSchema, await defaultExport(text, file), file, FIELDS);
  const guard =
    <A extends unknown[]>(what: string, draft: (...args: A) => Draft) =>
    (...args: A): Draft => {
      const where = `Task ${spec.name ?? name}: ${what}`;
      let value: unknown;
      try {
        value = draft(...args);
      } catch (error) {
        throw raised(error, where, file);
      }
      return parseSchema(draftSchema, value, `${where} of ${file} returned a draft that is none`, DRAFT_FIELDS);
    };
  const { draft, variants, probes, ...rest } = spec;
  checkNames(spec.name ?? name, spec.group, file);
  return {
    name,
    group: spec.name ?? name,
    doc: `a task of ${path.basename(file)}`,
    focus: {},
    ...rest,
    draft: guard("draft", draft),
    ...(variants && { variants: mapValues(variants, (draw, key) => guard(`variant ${key}`, draw)) }),
    ...(probes && {
      probes: mapValues(probes, (probe, key) => ({ ...probe, draw: guard(`probe ${key}`, probe.draw) })),
    }),
  };
}

/** A name of the registry would pass for its task; a group that there is none of would silently mean no preset. */
function checkNames(name: string, group: string | undefined, file: string): void {
  if (TASKS.some((task) => task.name === name || task.aliases?.includes(name))) {
    throw inputError("task-name", `${file}: the name ${name} is that of a built-in task`, "Choose another name.");
  }
  const groups = [...new Set(TASKS.map((task) => task.group))];
  if (group === undefined || group === name || groups.includes(group)) return;
  throw inputError(
    "task-group",
    `${file}: there is no group "${group}"`,
    `Did you mean "${nearest(group, groups)}"? Without a group a task has the default settings.`,
  );
}

const sideSchema = z.object({ prompt: z.string(), target: nonEmpty, tail: z.string().exactOptional() });
const draftSchema = z.strictObject({
  pos: sideSchema,
  neg: sideSchema,
  extra: z.number().int().min(0).exactOptional(),
  avoid: z.array(z.string()).exactOptional(),
});
const DRAFT_FIELDS = [...Object.keys(draftSchema.shape), ...Object.keys(sideSchema.shape)];

function mapValues<A, B>(values: Readonly<Record<string, A>>, map: (value: A, key: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value, key)]));
}

/** Runs a module whose only imports are this package, which need not be installed where the file is, and Node's own. */
async function defaultExport(text: string, file: string): Promise<unknown> {
  const { createJiti } = await import("jiti");
  const virtualModules = { "sparse-circuits": await import("../index.ts") };
  const jiti = createJiti(import.meta.url, {
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
    virtualModules,
  });
  let module: unknown;
  try {
    // Always read as TypeScript, of which JavaScript is a part; at no place on the disk: the run keeps this text alone.
    module = jiti.evalModule(text, {
      filename: path.join(NOWHERE, path.basename(file)),
      ext: ".ts",
      forceTranspile: true,
    });
  } catch (error) {
    throw raised(error, "the task", file);
  }
  const found = (module as { default?: unknown } | undefined)?.default;
  if (found !== undefined) return found;
  throw inputError("task-export", `${file} has no default export`, "End it with `export default defineTask({ ... })`.");
}

/** A folder that does not exist: nothing can be imported from beside the file. */
const NOWHERE = path.resolve("/task-file");

/** What went wrong in the user's code, with the place in it. */
function raised(error: unknown, what: string, file: string): Error {
  if (error instanceof SparseError) return error;
  const {
    message,
    stack = "",
    code,
  }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  const base = path.basename(file).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const place = new RegExp(`${base}:(\\d+):`).exec(`${message}\n${stack}`);
  const where = place === null ? file : `${file}, line ${place[1]}`;
  const first = message.split("\n")[0]!.trim();
  if (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND") {
    return inputError(
      "task-import",
      `${where}: ${first}`,
      "A task file stands alone, so that the run can keep it: it may import sparse-circuits and Node's own modules.",
      error,
    );
  }
  const syntax = /^ParseError: /.test(first);
  return inputError(
    syntax ? "task-syntax" : "task-code",
    syntax ? `${where}: ${first.replace("ParseError: ", "")}` : `${where}: ${what} threw ${first}`,
    "Correct the file.",
    error,
  );
}
