/** Text broken into lines or put on one, and numbers in it. */

/** Lines of at most `width` characters, broken at spaces; a word that is longer has a line of its own. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** `12,345` */
export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 task`, `2 tasks` */
export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

const CONTROL: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", " ": "␣" };

/** Text on one line, as a reader can see it: control characters as escapes, lone surrogates replaced. */
export function oneLine(text: string): string {
  return (
    text
      // Lone surrogates, which no encoding can hold.
      .replace(/\p{Surrogate}/gu, "\ufffd")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g, (c: string) => {
        return CONTROL[c] ?? `\\x${c.codePointAt(0)!.toString(16).padStart(2, "0")}`;
      })
  );
}
