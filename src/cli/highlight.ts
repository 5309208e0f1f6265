/** Program text for people: places marked in brackets that no program uses, so that they are seen without colours too. */
import { differences } from "../data/contrast.ts";
import { cutPieces } from "../data/pretokenize.ts";
import type { Draft, Side } from "../data/task.ts";
import type { Style } from "./render.ts";

/** Newlines made visible. */
export function oneLine(text: string): string {
  return text.replaceAll("\n", "⏎");
}

/** A place that the eye should find. */
export function site(text: string, style: Style): string {
  return style.bold(style.yellow(`⟦${oneLine(text)}⟧`));
}

/** A completion. */
function completion(text: string, style: Style): string {
  return style.green(`⟨${oneLine(text)}⟩`);
}

/** The two prompts of a pair, each followed by its completion, with what differs marked. */
export function pairTexts({ pos, neg }: Draft, style: Style): [pos: string, neg: string] {
  const pieces = [pos, neg].map(({ prompt }) => cutPieces(prompt)) as [string[], string[]];
  const differs = differences(...pieces);
  const text = ({ target }: Side, side: 0 | 1): string =>
    markRuns(pieces[side], differs[side], style) + completion(target, style);
  return [text(pos, 0), text(neg, 1)];
}

/** Joins pieces; neighbours that differ are marked as one place, and a line break at its end stays one. */
function markRuns(pieces: readonly string[], marked: readonly boolean[], style: Style): string {
  let out = "";
  for (let i = 0; i < pieces.length; ) {
    let run = "";
    const start = i;
    while (i < pieces.length && marked[i] === marked[start]) run += pieces[i++];
    out += marked[start] ? run.replace(/^(.*?)(\n?)$/s, (_, text, end) => (text && site(text, style)) + end) : run;
  }
  return out;
}
