/** Statements that open an indented block. Each writes itself, its body by the grammar's weights, and its marks. */
import type { Rng } from "../../util/rng.ts";
import { DEFINED_FUNCS, POOLS } from "./names.ts";
import { assignBool } from "./simple.ts";
import type { Writer } from "./writer.ts";

/** `count > total`, `count == 5`, `not ready`, `ready`. */
function condition(w: Writer): string {
  const { rng } = w;
  const flag = w.find("bool");
  if (flag !== undefined && rng.bool(0.3)) return rng.bool() ? flag : `not ${flag}`;
  const left = w.int();
  return `${left} ${rng.pick([">", "<", ">=", "<="])} ${rng.bool() ? w.number() : w.int()}`;
}

/** The head of an `if`: a comparison of two names or with a number, an equality, or a flag. */
function ifHead(w: Writer): void {
  const { rng } = w;
  const form = rng.int(0, 2);
  if (form === 0) {
    const left = w.int();
    w.begin(`if ${left}`);
    w.mark("if_equals", "pos", " =");
    w.put(` == ${w.number()}:\n`);
  } else if (form === 1) {
    const left = w.int();
    const right = w.int(left);
    w.begin(`if ${left} ${rng.pick([">", "<"])} ${right}`);
    w.mark("if_ternary", "pos", " else");
    w.put(":\n");
  } else w.line(`if ${condition(w)}:`);
}

export function ifElse(w: Writer): void {
  const { rng } = w;
  const form = rng.int(0, 9);
  // What `elif` reads is defined first: a definition cannot stand between the two.
  const flag = form < 2 ? w.bool() : undefined;
  const left = form === 2 ? w.int() : undefined;
  ifHead(w);
  w.block(() => w.body(1, 2));
  if (flag !== undefined) {
    w.begin("elif");
    w.mark("else_elif", "neg", ":\n");
    w.put(` not ${flag}:\n`);
    w.block(() => w.body(1, 2));
  } else if (left !== undefined) {
    w.line(`elif ${left} == ${w.number()}:`);
    w.block(() => w.body(1, 2));
  }
  if (rng.bool()) {
    w.begin("else");
    w.mark("else_elif", "pos", " not");
    w.put(":\n");
    w.block(() => w.body(1, 2));
  }
}

/** Spaces of a block's first line but the last, which is the next piece's: at the top level, and in one block. */
const INDENTS = ["   ", "       "] as const;

/** The text that follows is the first line of a loop's body. */
function markIndent(w: Writer): void {
  if (w.level > 1) return;
  w.mark("indent_for", w.level === 1 ? "pos" : "neg", INDENTS[1 - w.level]!);
}

/** Names of either kind: whether one counts or is counted through must be read from the statement. */
const COUNTERS: readonly string[] = [...POOLS.loops, ...POOLS.ints];

export function forLoop(w: Writer): void {
  const { rng } = w;
  const form = rng.int(0, 2);
  const [item, index] = rng.sample(POOLS.loops, 2) as [string, string];
  let bound = item;
  if (form === 0) {
    const list = w.list();
    bound = w.fresh("int", COUNTERS);
    w.begin(`for ${bound}`);
    w.mark("for_while", "pos", ":\n");
    w.put(` in ${list}:\n`);
  } else if (form === 1) {
    w.begin(`for ${item} in`);
    w.mark("enumerate_range", "neg", " enumerate");
    w.put(` range(${rng.int(2, 99)}):\n`);
  } else {
    const list = w.list();
    w.begin(`for ${index}, ${item} in`);
    w.mark("enumerate_range", "pos", " range");
    w.put(` enumerate(${list}):\n`);
  }
  markIndent(w);
  w.block(() => {
    w.bind(bound, "int");
    w.body(1, 2);
  });
}

export function whileLoop(w: Writer): void {
  const { rng } = w;
  const form = rng.int(0, 2);
  if (form === 0) {
    w.begin("while True");
    w.mark("while_return_true", "pos", "\n");
    w.put(":\n");
    w.block(() => {
      w.body(1, 2);
      w.line("break");
    });
    return;
  }
  const name = rng.bool(0.3) ? w.define("int", w.number(), COUNTERS) : w.int();
  if (form === 1) {
    w.begin(`while ${name}`);
    w.mark("for_while", "neg", " in");
    w.put(":\n");
  } else w.line(`while ${name} < ${w.number()}:`);
  w.block(() => {
    w.body(0, 1);
    w.line(`${name} ${form === 1 ? "-=" : "+="} 1`);
  });
}

/** How many of a function's last parameters have a default: as a rule none, or all but perhaps the first. */
function drawDefaults(rng: Rng, params: number): number {
  if (params === 0 || rng.bool()) return 0;
  return rng.bool(0.1) ? rng.int(1, params) : Math.max(1, params - rng.int(0, 1));
}

/** A function of none to six numbers, the last of which may have defaults. */
export function define(w: Writer): void {
  const { rng } = w;
  const params = rng.sample(POOLS.ints, rng.bool(0.25) ? 0 : rng.int(1, 6));
  const defaults = drawDefaults(rng, params.length);
  const last = params.length - 1;
  const heads = params.map((name, i) => (i < last && i > last - defaults ? `${name}=None` : name));
  w.begin(`def ${rng.pick(DEFINED_FUNCS)}`);
  if (params.length === 0) {
    w.mark("lambda_func", "neg", ":");
    w.put("():\n");
  } else {
    w.put(`(${heads.join(", ")}`);
    // With a default before it the last parameter must have one. After two or more without it seldom has.
    if (defaults > 1) w.mark("final_kwarg", "pos", "):\n");
    else if (defaults === 0 && last > 1) w.mark("final_kwarg", "neg", "=None");
    w.put(defaults > 0 ? "=None):\n" : "):\n");
  }
  w.block(() => {
    w.body(1, 3);
    if (rng.bool(0.3)) {
      w.begin("return True");
      w.mark("while_return_true", "neg", ":\n");
      w.put("\n");
    } else w.line(`return ${w.find("int") ?? w.number()}`);
  }, params);
}

/** A class whose `__init__` stores each of its two to five parameters, often in another order. */
export function classInit(w: Writer): void {
  const { rng } = w;
  const params = rng.sample(POOLS.ints, rng.int(2, 5));
  w.line(`class ${rng.pick(POOLS.classes)}:`);
  w.block(() => {
    w.line(`def __init__(self, ${params.join(", ")}):`);
    w.block(() => {
      const stored = rng.bool() ? params : rng.shuffle([...params]);
      stored.forEach((name, i) => {
        w.begin(`self.${name} =`);
        w.markCopy("class_init", name, stored[(i + 1) % stored.length]!);
        w.put(` ${name}\n`);
      });
    });
  });
}

/** Reading or writing a file; the file's name tells which. */
export function withOpen(w: Writer): void {
  const { rng } = w;
  const reads = rng.bool();
  const stem = rng.pick(reads ? POOLS.inputFiles : POOLS.outputFiles);
  const text = reads ? w.fresh("str") : w.str();
  w.begin(`with open("${stem}.${rng.pick(POOLS.extensions)}", "`);
  w.mark("with_open", reads ? "pos" : "neg", reads ? "w" : "r");
  w.put(`${reads ? "r" : "w"}")`);
  w.mark("with_as", "pos", " if");
  w.put(" as file:\n");
  w.block(() => w.line(reads ? `${text} = file.read()` : `file.write(${text})`));
}

/** `if open == True:` or `open = True`. */
export function boolIf(w: Writer): void {
  const { rng } = w;
  if (rng.bool()) assignBool(w, w.find("bool"));
  else {
    const flag = w.bool();
    w.begin(`if ${flag} == ${rng.bool() ? "True" : "False"}`);
    w.mark("var_if", "pos", "\n");
    w.put(":\n");
    w.block(() => w.body(1, 2));
  }
}
