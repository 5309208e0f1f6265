/** `sparse tasks`: what can be trained on. */
import type { Command } from "commander";
import { TASKS } from "../../../tasks/index.ts";
import { variantNames } from "../../data/task.ts";
import { jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { table } from "../render.ts";

export function register(command: Command, out: Output): void {
  jsonOption(command).action(() => {
    const rows = TASKS.map((task) => ({
      task: task.name,
      aliases: task.aliases ?? [],
      group: task.group,
      variants: variantNames(task),
      probes: Object.keys(task.probes ?? {}),
      doc: task.doc,
    }));
    for (const row of rows) out.event({ event: "task", ...row });
    const columns = ["group", "task", "also called", "variants", "what it asks"].map((title) => ({ title }));
    const cells = rows.map((r) => [r.group, r.task, r.aliases.join(", "), r.variants.join(", "), r.doc]);
    out.line(table(columns, cells, { style: out.style, indent: "" }));
    out.done({ tasks: rows.length });
  });
}
