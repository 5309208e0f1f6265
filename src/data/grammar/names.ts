/**
 * Name pools of the procedural corpus and of the tasks' templates. Every name is one piece of the tokenizers' pattern,
 * so a pool entry is one token wherever the vocabulary holds it. Some names are in two pools on purpose (`node` may be
 * a set or a string): what a name holds must be read from its binding, not from its spelling.
 */

export const POOLS = {
  ints: [
    ..."count total size limit index depth width score level price".split(" "),
    ..."weight step offset start end rank age num".split(" "),
  ],
  strs: "name text word line title label key path current message prefix result token node".split(" "),
  sets: "seen visited tags users ids group colors current found names unique node result token".split(" "),
  lists: "values items nums rows grid data matrix points scores table cells batch".split(" "),
  dicts: "config counts table scores options cache lookup mapping".split(" "),
  bools: "done ready found valid active empty open enabled".split(" "),
  funcs: [
    ..."func load save run build parse check update find process".split(" "),
    ..."merge filter apply reset convert scan send".split(" "),
  ],
  loops: "i j k x y item value".split(" "),
  classes: "Node Item Point Parser Table User Batch Config".split(" "),
  words: [
    ..."ready line each world output hello data test done input small large".split(" "),
    ..."first second third last red blue dog cat bird house river stone".split(" "),
    ..."light night water fire tree wind cloud road north south sugar apple".split(" "),
  ],
  /** Stems of files that programs read, and of files that they write. */
  inputFiles: "users settings input source items".split(" "),
  outputFiles: "report output summary results errors".split(" "),
  extensions: "json txt csv log".split(" "),
} as const satisfies Record<string, readonly string[]>;

/** What stands before a name of the pool within its piece, where not both of nothing and a space. */
export const NAME_FORMS: Readonly<Partial<Record<keyof typeof POOLS, readonly string[]>>> = {
  loops: [" "],
  classes: [" "],
  inputFiles: [""],
  outputFiles: [""],
  extensions: ["."],
};

export type Pools = Readonly<Record<keyof typeof POOLS, readonly string[]>>;

/**
 * Names that the corpus never uses in one role, though it uses them in others, so that a task's `names` variant can ask
 * for that role with known tokens in a new place.
 */
export const HELD_OUT = {
  /** Never called with a quoted string. */
  quoteFuncs: ["reset", "scan", "send"],
  /** Never swapped. */
  swapped: ["price", "rank", "age", "num"],
  /** Never the name of a function that is defined, nor the argument of a lambda. */
  defined: ["merge", "apply", "convert"],
} as const satisfies Record<string, readonly string[]>;

const heldOutCallees: ReadonlySet<string> = new Set(HELD_OUT.quoteFuncs);

/** The functions that the corpus may call with a quoted string. */
export const QUOTE_FUNCS: readonly string[] = POOLS.funcs.filter((name) => !heldOutCallees.has(name));

/** The functions that the corpus may define, and the arguments of its lambdas. */
export const DEFINED_FUNCS: readonly string[] = POOLS.funcs.filter(
  (name) => !(HELD_OUT.defined as readonly string[]).includes(name),
);

const fileStems: ReadonlySet<string> = new Set([...POOLS.inputFiles, ...POOLS.outputFiles]);
const quotedWords: ReadonlySet<string> = new Set(POOLS.words);

/** Words that are never the stem of a file's name in the corpus. */
export const NEVER_OPENED: readonly string[] = POOLS.words.filter((name) => !fileStems.has(name));

/**
 * Names of variables that are never among the words of a string of the corpus (only, in braces, of an f-string): for
 * the same variant.
 */
export const NEVER_QUOTED: readonly string[] = [...POOLS.ints, ...POOLS.lists].filter(
  (name) => !quotedWords.has(name) && !fileStems.has(name),
);
