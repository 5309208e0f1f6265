/** Text for LaTeX: nothing in it is a command, whatever engine and font encoding. */
import { oneLine } from "../util/text.ts";

const SPECIAL: Record<string, string> = {
  "\\": "\\textbackslash{}",
  "{": "\\textbraceleft{}",
  "}": "\\textbraceright{}",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "|": "\\textbar{}",
  "^": "\\textasciicircum{}",
  "~": "\\textasciitilde{}",
  "`": "\\textasciigrave{}",
  "'": "\\textquotesingle{}",
  // Braces keep babel's shorthands and ligatures away.
  '"': '{"}',
  "-": "{-}",
  "␣": "\\textvisiblespace{}",
  "…": "\\dots{}",
  "·": "\\textperiodcentered{}",
  "∅": "\\ensuremath{\\emptyset}",
  ß: "\\ss{}",
  æ: "\\ae{}",
  Æ: "\\AE{}",
  ø: "\\o{}",
  Ø: "\\O{}",
  ł: "\\l{}",
  Ł: "\\L{}",
  œ: "\\oe{}",
  Œ: "\\OE{}",
};

/** Accents by combining character. */
const ACCENTS: Record<string, string> = {
  "\u0300": "`",
  "\u0301": "'",
  "\u0302": "^",
  "\u0303": "~",
  "\u0304": "=",
  "\u0306": "u",
  "\u0307": ".",
  "\u0308": '"',
  "\u030a": "r",
  "\u030b": "H",
  "\u030c": "v",
  "\u0327": "c",
};

/** One line of text. What plain LaTeX has no letter for becomes U+1F389. */
export function escapeLatex(text: string): string {
  // TeX takes several spaces for one, and none at the ends.
  return Array.from(oneLine(text).normalize("NFC").replaceAll("\ufe0f", ""), latexChar)
    .join("")
    .replace(/ (?= )|^ | $/g, "\\ ");
}

function latexChar(char: string): string {
  const special = SPECIAL[char];
  if (special !== undefined) return special;
  if (/[#$%&_]/.test(char)) return `\\${char}`;
  if (/[\x20-\x7e]/.test(char)) return char;
  const [base, mark, more] = char.normalize("NFD");
  const accent = ACCENTS[mark ?? ""];
  if (accent !== undefined && more === undefined && /[A-Za-z]/.test(base!)) {
    // The dot of i and j gives way to the accent, except below.
    return `\\${accent}{${/[ij]/.test(base!) && accent !== "c" ? `\\${base}` : base}}`;
  }
  return `U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}
