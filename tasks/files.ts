/**
 * Group `files`: how is a file opened, and what for? (Gao et al. 2025, Table 1.)
 *
 *     with_as              with open("users.json", "r")      completes with   as
 *                          file = open("users.json", "r")    completes with   if
 *     with_open            with open("settings.log", "       completes with  r
 *                          with open("report.log", "         completes with  w
 */
import { NEVER_OPENED } from "../src/data/grammar/names.ts";
import { PROFILES } from "../src/data/grammar.ts";
import { type Draft, defineTask, drawName, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { afterOthers } from "./lines.ts";

function withOrAssign(rng: Rng, env: TaskEnv, stem: string): Draft {
  const call = `open("${stem}.${drawName(rng, env, "extensions")}", "r")`;
  return {
    pos: { prompt: `with ${call}`, target: " as", tail: ` file:\n    ${drawName(rng, env, "strs")} = file.read()\n` },
    neg: { prompt: `file = ${call}`, target: " if", tail: ` ${drawName(rng, env, "bools")} else None\n` },
  };
}

const withAs = defineTask({
  name: "with_as",
  group: "files",
  doc: "after a call of `open`, as in a with statement and if in an assignment",
  draft: (rng, env) => withOrAssign(rng, env, drawName(rng, env, "inputFiles")),
  variants: {
    /** Words that are in no file's name in the corpus. */
    names: (rng, env) => withOrAssign(rng, env, drawName(rng, env, NEVER_OPENED)),
  },
  focus: PROFILES.files.weights,
});

/** A file to read and one to write, that differ in the stems of their names alone. */
function opened(rng: Rng, env: TaskEnv): Draft {
  const [reads, writes] = [drawName(rng, env, "inputFiles"), drawName(rng, env, "outputFiles")];
  const rest = `.${drawName(rng, env, "extensions")}", "`;
  const text = drawName(rng, env, "strs");
  return {
    pos: { prompt: `with open("${reads}${rest}`, target: "r", tail: `") as file:\n    ${text} = file.read()\n` },
    neg: { prompt: `with open("${writes}${rest}`, target: "w", tail: `") as file:\n    file.write(${text})\n` },
  };
}

const withOpen = defineTask({
  name: "with_open",
  group: "files",
  doc: "read or write? the file's name tells",
  draft: opened,
  probes: {
    opens: {
      doc: "earlier files opened in the other mode",
      values: [0, 1, 2, 3],
      draw: (rng, env, x) => afterOthers(x, () => opened(rng, env)),
    },
  },
  focus: { with: 8, assign: 2, fileOrNone: 1, augment: 1, quote: 0.5 },
});

export const FILE_TASKS: readonly TaskSpec[] = [withAs, withOpen];
