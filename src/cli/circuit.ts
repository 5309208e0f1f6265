#!/usr/bin/env node
/** The program `circuit`: finds, shows and draws the circuit that does a task. */
import { runProgram } from "./program.ts";

await runProgram({
  name: "circuit",
  description: "Find the smallest circuit that does a task, look at it and draw it.",
  examples: [
    ["circuit extract runs/quotes", "find the circuit of the run's task"],
    ["circuit verify runs/quotes --thorough", "check whether it is real"],
    ["circuit show runs/quotes", "its nodes and edges as a table"],
    ["circuit compare runs/quotes runs/dense", "how many times more edges a dense model needs"],
    ["circuit edit runs/quotes --remove 0.mlp.post_act:12", "what it does without one of its neurons"],
    ['circuit label runs/quotes V.0.30 "which quote"', "name what a node does"],
    ["circuit export runs/quotes --format svg", "the figure for a paper"],
    ["circuit overview runs/all", "a whole model and how disentangled its circuits are"],
  ],
  commands: [
    {
      name: "extract",
      summary: "find the smallest circuit for each task of a run",
      load: () => import("./commands/extract.ts"),
    },
    {
      name: "verify",
      summary: "check whether circuits are real",
      load: () => import("./commands/verify.ts"),
    },
    { name: "show", summary: "print nodes and edges of a circuit", load: () => import("./commands/show.ts") },
    {
      name: "edit",
      summary: "remove, add and scale nodes of a circuit by hand",
      load: () => import("./commands/edit.ts"),
    },
    { name: "label", summary: "name what nodes do, for figures and tables", load: () => import("./commands/label.ts") },
    {
      name: "compare",
      summary: "edges of several models' circuits at equal task loss",
      load: () => import("./commands/compare.ts"),
    },
    {
      name: "plot",
      summary: "draw task loss against edges, and what nodes carry",
      load: () => import("./commands/plot-circuit.ts"),
    },
    { name: "export", summary: "write figures and tables of a circuit", load: () => import("./commands/export.ts") },
    {
      name: "overview",
      summary: "draw a whole model with all its circuits, and tell what they share",
      load: () => import("./commands/overview.ts"),
    },
  ],
});
