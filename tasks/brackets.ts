/**
 * Group `brackets`: which brackets are open? (Gao et al. 2025, Table 1, Figures 5 and 8.)
 *
 *     bracket_counting     grid = [[5, 3], [11             completes with  ]] + newline
 *                          grid = [5, 3, 11                completes with  ] + newline
 *     bracket_brace        table = {"name": 1, "key        completes with  ":
 *                          table = ["name", 1, "key        completes with  ",
 */
import { type Draft, defineTask, drawName, type Side, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { number, numbers, wordList } from "./lines.ts";

/**
 * The numbers in rows of up to three, two rows at least: `5, 3], [11`. Between rows stand as many tokens as between
 * numbers, so that a flat list is as long; where the tokenizer needs more there are two rows only.
 */
function rows(rng: Rng, env: TaskEnv, values: readonly string[]): string {
  const most = env.isSingle("],") ? values.length : 2;
  let text = values[0]!;
  let inRow = 1;
  let count = 1;
  values.slice(1).forEach((value, i) => {
    const mustEnd = count === 1 && i === values.length - 2;
    const ends = count < most && (mustEnd || inRow === 3 || rng.bool(0.4));
    text += `${ends ? "], [" : ", "}${value}`;
    inRow = ends ? 1 : inRow + 1;
    if (ends) count++;
  });
  return text;
}

function closing(text: string, depth: number): Side {
  return { prompt: text, target: `${"]".repeat(depth)}\n` };
}

/** A nested list or a flat one of the same numbers. */
function nestedOrFlat(rng: Rng, env: TaskEnv, count: number, before = ""): Draft {
  const name = drawName(rng, env, "lists");
  const values = numbers(rng, count);
  return {
    pos: closing(`${before}${name} = [[${rows(rng, env, values)}`, 2),
    neg: closing(`${before}${name} = [${values.join(", ")}`, 1),
    avoid: [name],
  };
}

/** A comment in which `open` stands as often as asked, in the tokens that open a list or a dict elsewhere. */
function openingComment(rng: Rng, env: TaskEnv, open: string, count: number): string {
  const opened = wordList(rng, env, count).map((word) => `${open}${word}`);
  return `# ${[...wordList(rng, env, 2), ...opened].join(" ")}\n`;
}

const bracketCounting = defineTask({
  name: "bracket_counting",
  group: "brackets",
  doc: "close as many brackets as are open",
  draft: (rng, env) => nestedOrFlat(rng, env, rng.int(3, 8)),
  variants: {
    long: (rng, env) => nestedOrFlat(rng, env, rng.int(9, 24)),
    /** One level more on either side. */
    deep: (rng, env) => {
      const name = drawName(rng, env, "lists");
      const text = rows(rng, env, numbers(rng, rng.int(3, 8)));
      return {
        pos: closing(`${name} = [[[${text}`, 3),
        neg: closing(`${name} = [[${text}`, 2),
        avoid: [name],
      };
    },
    /** One token differs: whether the last row opens. */
    minimal: (rng, env) => {
      const name = drawName(rng, env, "lists");
      const text = numbers(rng, rng.int(1, 3)).join(", ");
      const last = numbers(rng, rng.int(1, 3)).join(", ");
      return {
        pos: closing(`${name} = [[${text}], [${last}`, 2),
        neg: closing(`${name} = [[${text}], ${last}`, 1),
        avoid: [name],
      };
    },
  },
  probes: {
    dilution: {
      doc: "numbers in the list",
      values: [4, 8, 16, 24, 32],
      draw: (rng, env, x) => nestedOrFlat(rng, env, x),
    },
    comment: {
      doc: "brackets that a comment before the list opens and never closes",
      values: [0, 1, 2, 3, 4],
      draw: (rng, env, x) => nestedOrFlat(rng, env, rng.int(3, 8), openingComment(rng, env, "[ ", x)),
    },
  },
  focus: { list: 8, assign: 2, dict: 1, comment: 1, quote: 1, for: 1 },
});

/** `"name": 1, "key` or `"name", 1, "key` after `entries` whole ones. */
function keys(words: readonly string[], values: readonly string[], after: string): string {
  return words.map((word, i) => `"${word}${i < words.length - 1 ? `"${after} ${values[i]}, ` : ""}`).join("");
}

function dictOrList(rng: Rng, env: TaskEnv, entries: number, { before = "", outer = "" } = {}): Draft {
  const name = drawName(rng, env, "dicts");
  const words = wordList(rng, env, entries + 1);
  const values = numbers(rng, entries);
  const end = outer === "" ? "" : "}";
  const last = number(rng);
  const head = `${before}${name} = ${outer}`;
  return {
    pos: { prompt: `${head}{${keys(words, values, ":")}`, target: '":', tail: ` ${last}}${end}\n` },
    neg: { prompt: `${head}[${keys(words, values, ",")}`, target: '",', tail: ` ${last}]${end}\n` },
    avoid: [name],
  };
}

const bracketBrace = defineTask({
  name: "bracket_brace",
  group: "brackets",
  doc: "after a string, colon in a dict and comma in a list",
  draft: (rng, env) => dictOrList(rng, env, rng.int(1, 3)),
  variants: {
    long: (rng, env) => dictOrList(rng, env, 8),
    /** Inside a dict: the innermost bracket counts. */
    deep: (rng, env) => dictOrList(rng, env, rng.int(1, 3), { outer: `{"${drawName(rng, env, "words")}": ` }),
  },
  probes: {
    comment: {
      doc: "braces that a comment before opens and never closes",
      values: [0, 1, 2, 3, 4],
      draw: (rng, env, x) => dictOrList(rng, env, rng.int(1, 3), { before: openingComment(rng, env, '{"', x) }),
    },
  },
  focus: { dict: 8, assign: 2, list: 2, comment: 1, quote: 1, for: 1 },
});

export const BRACKET_TASKS: readonly TaskSpec[] = [bracketCounting, bracketBrace];
