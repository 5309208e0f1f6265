/** Statements of one line, and set-or-string with its gap and loop. Each writes itself and its decision marks. */
import { DEFINED_FUNCS, HELD_OUT, POOLS, QUOTE_FUNCS } from "./names.ts";
import { otherQuote, pickQuote, stringBody, words } from "./strings.ts";
import type { Writer } from "./writer.ts";

/** `count = 5`, `count = total + 5`, `count = load()` ... */
function assignInt(w: Writer): void {
  const { rng } = w;
  const name = w.fresh("int");
  const source = w.find("int", name);
  const form = rng.int(0, 6);
  let value = w.number();
  if (form === 3) value = `${rng.pick(POOLS.funcs)}()`;
  else if (source !== undefined && form === 4) value = `${source} + ${w.number()}`;
  else if (source !== undefined && form === 5) value = `${source} ${rng.pick(["+", "-", "*"])} ${w.int()}`;
  else if (source !== undefined && form === 6) value = source;
  w.begin(name);
  w.mark("if_equals", "neg", " ==");
  w.put(` = ${value}\n`);
  w.bind(name, "int");
}

/** `done = True`. */
export function assignBool(w: Writer, name = w.fresh("bool")): void {
  w.begin(`${name} = ${w.rng.bool() ? "True" : "False"}`);
  w.mark("var_if", "neg", ":\n");
  w.put("\n");
  w.bind(name, "bool");
}

export function assign(w: Writer): void {
  const kind = w.rng.int(0, 9);
  if (kind < 7) {
    assignInt(w);
  } else if (kind < 9) {
    const name = w.fresh("str");
    const quote = pickQuote(w.rng);
    w.line(`${name} = ${quote}${stringBody(w, quote, 1, 4)}${quote}`);
    w.bind(name, "str");
  } else assignBool(w);
}

/** `count += 5`, `items.append(5)`, `update(count)`, `count = update(total)`. */
export function augment(w: Writer): void {
  const { rng } = w;
  const name = w.int();
  const amount = (rng.bool() ? w.find("int", name) : undefined) ?? w.number();
  const form = rng.int(0, 5);
  const list = w.find("list");
  if (form <= 2) w.line(`${name} ${rng.pick(["+=", "-=", "*="])} ${amount}`);
  else if (form === 3 && list !== undefined) w.line(`${list}.append(${rng.bool() ? w.number() : name})`);
  else if (form === 4) {
    const result = w.fresh("int");
    w.line(`${result} = ${rng.pick(POOLS.funcs)}(${name})`);
    w.bind(result, "int");
  } else w.line(`${rng.pick(POOLS.funcs)}(${name})`);
}

/** `print("ready line")`. */
export function quote(w: Writer): void {
  const { rng } = w;
  const mark = pickQuote(rng);
  const callee = rng.bool() ? "print" : rng.pick(QUOTE_FUNCS);
  w.begin(`${callee}(${mark}${stringBody(w, mark, 1, 6)}`);
  w.mark("single_double_quote", mark === '"' ? "pos" : "neg", `${otherQuote(mark)})\n`);
  w.put(`${mark})\n`);
}

/** `print(f"each world {count}")` or `print("each world", count)`. */
export function fprint(w: Writer): void {
  const { rng } = w;
  const name = w.find("str") ?? w.int();
  const mark = pickQuote(rng);
  const text = words(rng, 1, 4);
  if (rng.bool()) {
    w.begin(`print(f${mark}${text}`);
    w.mark("fstring_brace", "pos", `${mark},`);
    w.put(` {${name}}${mark})\n`);
  } else {
    w.begin(`print(${mark}${text}`);
    w.mark("fstring_brace", "neg", " {");
    w.put(`${mark}, ${name})\n`);
  }
}

/** The name of the task that asks for one name only; drawn more often than others. */
const FIXED_NAME: readonly string[] = ["current"];

/** A name bound to an empty set or string, up to three other statements, perhaps a loop, and the use that fits. */
export function setstr(w: Writer): void {
  const { rng } = w;
  const isSet = rng.bool();
  const name = w.fresh(isSet ? "set" : "str", rng.bool(0.15) ? FIXED_NAME : POOLS.sets);
  w.line(`${name} = ${isSet ? "set()" : rng.bool() ? '""' : "str()"}`);
  w.bind(name, isSet ? "set" : "str");
  for (let gap = rng.int(0, 3); gap > 0; gap--) rng.bool(0.7) ? assignInt(w) : augment(w);
  const use = (value: string, asText: string): void => {
    w.begin(name);
    for (const task of FIXED_NAME.includes(name) ? ["set_or_string", "set_or_string_fixedvarname"] : ["set_or_string"])
      w.mark(task, isSet ? "pos" : "neg", isSet ? " +=" : ".add");
    w.put(isSet ? `.add(${value})\n` : ` += ${asText}\n`);
  };
  if (w.canNest && rng.bool(0.4)) {
    const item = rng.pick(POOLS.loops);
    w.line(`for ${item} in ${w.list()}:`);
    w.block(() => use(item, `str(${item})`));
  } else {
    const mark = pickQuote(rng);
    const text = `${mark}${stringBody(w, mark, 1, 2)}${mark}`;
    use(text, text);
  }
}

/** `total, count = count, total`, of two names that were defined before. */
export function swap(w: Writer): void {
  const first = w.int(...HELD_OUT.swapped);
  const second = w.int(first, ...HELD_OUT.swapped);
  w.begin(`${first}, ${second} = ${second},`);
  w.markCopy("var_swap", first, second);
  w.put(` ${first}\n`);
}

function numbers(w: Writer, min: number, max: number): string {
  return Array.from({ length: w.rng.int(min, max) }, () => w.number()).join(", ");
}

/** Flat, nested two or three deep, mixed, or a comprehension. */
export function list(w: Writer): void {
  const { rng } = w;
  const form = rng.int(0, 7);
  if (form === 7) {
    const item = rng.pick(POOLS.loops);
    const source = w.list();
    const name = w.fresh("list");
    w.line(`${name} = [${item} ${rng.pick(["+", "*"])} ${w.number()} for ${item} in ${source}]`);
    w.bind(name, "list");
    return;
  }
  const name = w.fresh("list");
  const rows = (count: number): string => Array.from({ length: count }, () => `[${numbers(w, 1, 3)}]`).join(", ");
  const row = `[${numbers(w, 1, 3)}`;
  if (form <= 1) {
    w.begin(`${name} = [${numbers(w, 3, 8)}`);
    w.mark("bracket_counting", "neg", "]]\n");
    w.put("]\n");
  } else if (form === 2) {
    w.begin(`${name} = [${rows(1)}, ${numbers(w, 1, 3)}`);
    w.mark("bracket_counting", "neg", "]]\n");
    w.put("]\n");
  } else if (form <= 5) {
    w.begin(`${name} = [${rows(rng.int(1, 2))}, ${row}`);
    w.mark("bracket_counting", "pos", "]\n");
    w.put("]]\n");
  } else w.line(`${name} = [[${rows(1)}], [${rows(1)}]]`);
  w.bind(name, "list");
}

/**
 * `{"red": 1, "dog": 2}` or `["red", 1, "dog", 2]`: what follows a string depends on the bracket it is in, and on nothing
 * else, since both have names of one pool.
 */
export function dict(w: Writer): void {
  const { rng } = w;
  const isDict = rng.bool();
  const name = w.fresh(isDict ? "dict" : "strs", POOLS.dicts);
  w.begin(`${name} = ${isDict ? "{" : "["}`);
  const count = rng.int(2, 4);
  for (let i = 0; i < count; i++) {
    w.put(`"${rng.pick(POOLS.words)}`);
    w.mark("bracket_brace", isDict ? "pos" : "neg", isDict ? '",' : '":');
    w.put(`${isDict ? '":' : '",'} ${w.number()}${i < count - 1 ? ", " : ""}`);
  }
  w.put(isDict ? "}\n" : "]\n");
  w.bind(name, isDict ? "dict" : "strs");
}

/** `file = open("users.json", "r") if ready else None`. */
export function fileOrNone(w: Writer): void {
  const { rng } = w;
  const ready = w.bool();
  w.begin(`file = open("${rng.pick(POOLS.inputFiles)}.${rng.pick(POOLS.extensions)}", "r")`);
  w.mark("with_as", "neg", " as");
  w.put(` if ${ready} else None\n`);
}

/** `total = width if offset > weight else limit`. */
export function ternary(w: Writer): void {
  const left = w.int();
  const right = w.int(left);
  const name = w.fresh("int");
  w.begin(`${name} = ${w.find("int", left) ?? w.number()} if ${left} ${w.rng.pick([">", "<"])} ${right}`);
  w.mark("if_ternary", "neg", ":\n");
  w.put(` else ${w.number()}\n`);
  w.bind(name, "int");
}

/** `parse = lambda func: func + 5`. */
export function lambda(w: Writer): void {
  const { rng } = w;
  const argument = rng.pick(DEFINED_FUNCS);
  w.begin(`${rng.pick(POOLS.funcs)} = lambda ${argument}`);
  w.mark("lambda_func", "pos", "():\n");
  w.put(`: ${argument} ${rng.pick(["+", "*"])} ${w.number()}\n`);
}
