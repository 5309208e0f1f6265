/**
 * Writes one program: text, indentation, decision marks, and the scope that says what each name in reach holds.
 * Statements read the scope, so that a program uses only what it has defined. It knows no statement itself: the
 * grammar gives it a `Dispatch`.
 */
import type { Rng } from "../../util/rng.ts";
import type { GrammarOptions, Mark, StatementKind } from "./kinds.ts";
import { POOLS } from "./names.ts";

/** What a name holds. `list` holds numbers, `strs` is a list that holds strings too. */
export type VarType = "int" | "str" | "set" | "list" | "strs" | "dict" | "bool";

const POOL_OF: Readonly<Record<VarType, readonly string[]>> = {
  int: POOLS.ints,
  str: POOLS.strs,
  set: POOLS.sets,
  list: POOLS.lists,
  strs: POOLS.lists,
  dict: POOLS.dicts,
  bool: POOLS.bools,
};

/** How the writer chooses and writes a statement. */
export interface Dispatch {
  /** A kind by weight; with `simple`, one that opens no block. */
  pick(rng: Rng, simple: boolean): StatementKind;
  emit(kind: StatementKind, writer: Writer): void;
}

export class Writer {
  text = "";
  readonly marks: Mark[] = [];
  readonly rng: Rng;
  readonly options: GrammarOptions;
  private readonly dispatch: Dispatch;
  private readonly avoid: readonly string[];
  private scope = new Map<string, VarType>();
  private indent = "";
  private depth = 0;

  /** `avoid`: names that this program must not bind. */
  constructor(rng: Rng, options: GrammarOptions, dispatch: Dispatch, avoid: readonly string[] = []) {
    this.rng = rng;
    this.options = options;
    this.dispatch = dispatch;
    this.avoid = avoid;
  }

  /** A whole line. */
  line(text: string): void {
    this.text += `${this.indent}${text}\n`;
  }

  /** The beginning of a line; `put` goes on, and must end it with a newline. */
  begin(text: string): void {
    this.text += this.indent + text;
  }

  put(text: string): void {
    this.text += text;
  }

  /** The next text put is a task's right completion, and `wrong` the other side's. */
  mark(task: string, side: "pos" | "neg", wrong: string): void {
    this.marks.push({ task, side, offset: this.text.length, wrong });
  }

  /** The same where a name is to be copied, and either could stand on either side: these are told apart by their order. */
  markCopy(task: string, right: string, wrong: string): void {
    this.mark(task, right < wrong ? "pos" : "neg", ` ${wrong}`);
  }

  /** Blocks that are open here. */
  get level(): number {
    return this.depth;
  }

  /** True while a block may still be opened here. */
  get canNest(): boolean {
    return this.depth < this.options.maxDepth;
  }

  /** One statement by weight, at the present level. */
  statement(): StatementKind {
    const kind = this.dispatch.pick(this.rng, !this.canNest);
    this.dispatch.emit(kind, this);
    return kind;
  }

  /**
   * An indented block. Names bound inside are forgotten at its end, since the block may not have run. With `params`
   * the block is a function's: it sees these names only.
   */
  block(write: () => void, params?: readonly string[]): void {
    const outer = this.scope;
    this.scope = params === undefined ? new Map(outer) : new Map(params.map((name) => [name, "int"]));
    this.indent += "    ";
    this.depth++;
    write();
    this.depth--;
    this.indent = this.indent.slice(4);
    this.scope = outer;
  }

  /** `min` to `max` statements by weight. A comment cannot end a block: Python would find it empty. */
  body(min: number, max: number): void {
    const count = this.rng.int(min, max);
    let last: StatementKind | undefined;
    for (let i = 0; i < count; i++) last = this.statement();
    if (last === undefined || last === "comment") this.dispatch.emit("assign", this);
  }

  number(): string {
    return String(this.rng.int(0, 99));
  }

  /** A name in reach that holds `type`, if there is one. */
  find(type: VarType, ...except: readonly string[]): string | undefined {
    const names: string[] = [];
    for (const [name, held] of this.scope) if (held === type && !except.includes(name)) names.push(name);
    return names.length === 0 ? undefined : this.rng.pick(names);
  }

  /** A name of the pool of `type` to bind. Inside a block no outer name changes its type. */
  fresh(type: VarType, pool: readonly string[] = POOL_OF[type]): string {
    let name = this.rng.pick(pool);
    for (let tries = 0; tries < 20 && !this.bindable(name, type); tries++) name = this.rng.pick(pool);
    return name;
  }

  private bindable(name: string, type: VarType): boolean {
    if (this.avoid.includes(name)) return false;
    return this.depth === 0 || (this.scope.get(name) ?? type) === type;
  }

  bind(name: string, type: VarType): void {
    this.scope.set(name, type);
  }

  /** A number's name in reach; when there is none (or only `except`), one is defined on a line of its own. */
  int(...except: readonly string[]): string {
    const found = this.find("int", ...except);
    if (found !== undefined) return found;
    let name = this.fresh("int");
    while (except.includes(name)) name = this.fresh("int");
    this.line(`${name} = ${this.number()}`);
    this.bind(name, "int");
    return name;
  }

  /** A list's name in reach; when there is none, one is defined on a line of its own. */
  list(): string {
    return this.find("list") ?? this.define("list", `[${this.number()}, ${this.number()}, ${this.number()}]`);
  }

  /** A string's name in reach; when there is none, one is defined on a line of its own. */
  str(): string {
    return this.find("str") ?? this.define("str", '""');
  }

  /** A flag's name in reach; when there is none, one is defined on a line of its own. */
  bool(): string {
    return this.find("bool") ?? this.define("bool", this.rng.bool() ? "True" : "False");
  }

  /** Binds a name of the pool of `type` on a line of its own. */
  define(type: VarType, value: string, pool?: readonly string[]): string {
    const name = this.fresh(type, pool);
    this.line(`${name} = ${value}`);
    this.bind(name, type);
    return name;
  }
}
