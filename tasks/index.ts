/** The registry of tasks: by name, alias or group. Each file of this folder holds the tasks of one group. */
import type { TaskSpec } from "../src/data/task.ts";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";
import { BINDING_TASKS } from "./binding.ts";
import { BRACKET_TASKS } from "./brackets.ts";
import { CONDITION_TASKS } from "./conditions.ts";
import { FILE_TASKS } from "./files.ts";
import { FUNCTION_TASKS } from "./functions.ts";
import { LOOP_TASKS } from "./loops.ts";
import { QUOTE_TASKS } from "./quotes.ts";
import { STRING_TASKS } from "./strings.ts";

export const TASKS: readonly TaskSpec[] = [
  ...QUOTE_TASKS,
  ...BINDING_TASKS,
  ...BRACKET_TASKS,
  ...FILE_TASKS,
  ...LOOP_TASKS,
  ...CONDITION_TASKS,
  ...FUNCTION_TASKS,
  ...STRING_TASKS,
];

/**
 * The tasks that names with commas between them stand for: one for a task's name or alias, several for a group, every
 * one for `all`; in the order of the registry.
 *
 * @throws inputError for a name that stands for none.
 */
export function findTasks(typed: string): readonly TaskSpec[] {
  const found = new Set(typed.split(",").flatMap((name) => findName(name.trim())));
  return TASKS.filter((task) => found.has(task));
}

/** The suffix `_beeg<n>` of the names in the viewer of Gao et al. 2025 is left off. */
function findName(typed: string): readonly TaskSpec[] {
  const name = typed.replace(/_beeg\d*$/, "");
  if (name === "all") return TASKS;
  const one = TASKS.find((task) => task.name === name) ?? TASKS.find((task) => task.aliases?.includes(name));
  if (one !== undefined) return [one];
  const group = TASKS.filter((task) => task.group === name);
  if (group.length > 0) return group;
  const names = new Set(TASKS.flatMap((task) => [task.group, task.name, ...(task.aliases ?? [])]));
  throw inputError(
    "unknown-task",
    `No task or group is called "${typed}"`,
    `Did you mean "${nearest(name, [...names, "all"])}"? \`sparse tasks\` lists them; several have commas between them.`,
  );
}
