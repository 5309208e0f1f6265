#!/usr/bin/env node
/** The program `sparse`: trains weight-sparse transformers, runs them and scores them. */
import { runProgram } from "./program.ts";

await runProgram({
  name: "sparse",
  description: "Train weight-sparse transformers, run them and score them on tasks.",
  examples: [
    ["sparse train --task quotes", "train on the quotes task into runs/quotes"],
    ["sparse eval runs/quotes", "its loss and accuracy on every variant of the task"],
    ["circuit extract runs/quotes", "then find the circuit that does the task"],
  ],
  commands: [
    {
      name: "train",
      summary: "train a weight-sparse transformer on a task",
      load: () => import("./commands/train.ts"),
    },
    {
      name: "plot",
      summary: "draw training curves of runs, and their probes over training",
      load: () => import("./commands/plot.ts"),
    },
    { name: "eval", summary: "score a run on its tasks", load: () => import("./commands/eval.ts") },
    {
      name: "forward",
      summary: "write logits and activations of given tokens",
      load: () => import("./commands/forward.ts"),
    },
    {
      name: "tasks",
      summary: "list the tasks",
      load: () => import("./commands/tasks.ts"),
      commands: [
        { name: "show", summary: "print pairs of prompts of a task", load: () => import("./commands/tasks-show.ts") },
      ],
    },
    {
      name: "corpus",
      summary: "look at what models are trained on",
      commands: [
        {
          name: "show",
          summary: "print documents of the procedural corpus with their decision points",
          load: () => import("./commands/corpus-show.ts"),
        },
        {
          name: "stats",
          summary: "count documents, tokens and decision points",
          load: () => import("./commands/corpus-stats.ts"),
        },
      ],
    },
    {
      name: "tokenizer",
      summary: "make tokenizers",
      commands: [
        {
          name: "train",
          summary: "train byte-pair encoding on text",
          load: () => import("./commands/tokenizer-train.ts"),
        },
      ],
    },
  ],
});
