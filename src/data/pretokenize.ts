/**
 * Cutting text into pieces, and the byte alphabet of `tokenizer.json`. The tokenizers made here cut with one of two
 * patterns: that of Gao et al. 2025, by which `("`, `')` + newline, `]]` + newline, ` +=` and the like are single pieces
 * (A.7), or the same with one alternative in front, which keeps opening brackets countable.
 */

const PUBLISHED = [
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
];

export const PATTERNS = {
  brackets: [" ?\\[(?=\\[)", ...PUBLISHED].join("|"),
  published: PUBLISHED.join("|"),
} as const;

export type PatternName = keyof typeof PATTERNS;
export const PATTERN_NAMES = ["brackets", "published"] as const satisfies readonly PatternName[];

/** The pattern of the closed tokenizers. */
export const PIECE_PATTERN = PATTERNS.brackets;

export type Cut = (text: string) => string[];

/**
 * Cuts by a pattern, as `Split` with behaviour `Isolated`: matches are pieces, and so is what lies between them. Joined
 * the pieces are the text again.
 *
 * @throws SyntaxError for a pattern that JavaScript does not know.
 */
export function pieceCutter(pattern: string): Cut {
  const regex = new RegExp(pattern, "gu");
  return (text) => {
    const pieces: string[] = text.match(regex) ?? [];
    let length = 0;
    for (const piece of pieces) length += piece.length;
    // The usual patterns match all of a text, and asking for places is slower.
    return length === text.length && !pieces.includes("") ? pieces : cutWithGaps(text, regex);
  };
}

function cutWithGaps(text: string, regex: RegExp): string[] {
  const pieces: string[] = [];
  let end = 0;
  for (const { 0: piece, index } of text.matchAll(regex)) {
    if (piece === "") continue;
    if (index > end) pieces.push(text.slice(end, index));
    pieces.push(piece);
    end = index + piece.length;
  }
  if (end < text.length) pieces.push(text.slice(end));
  return pieces;
}

/** The pieces of `text` by the closed tokenizers' pattern. */
export const cutPieces: Cut = pieceCutter(PIECE_PATTERN);

/** How often each piece occurs in the texts. */
export function countPieces(texts: Iterable<string>, cut: Cut, into = new Map<string, number>()): Map<string, number> {
  for (const text of texts) for (const piece of cut(text)) into.set(piece, (into.get(piece) ?? 0) + 1);
  return into;
}

/**
 * Hugging Face's ByteLevel alphabet: each byte as one printable character. Printable Latin-1 bytes stand for
 * themselves, the others for U+0100 onwards, so that a space reads `Ġ` and a newline `Ċ`.
 */
const BYTE_CHARS: readonly string[] = (() => {
  const chars: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    chars.push(String.fromCharCode(printable ? byte : next++));
  }
  return chars;
})();

/** The same in the order in which Hugging Face's trainer numbers it. */
export const BYTE_ALPHABET: readonly string[] = [...BYTE_CHARS].sort();

const CHAR_BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARS.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();

export function toByteChars(text: string): string {
  let out = "";
  for (const byte of encoder.encode(text)) out += BYTE_CHARS[byte];
  return out;
}

/** The bytes that `toByteChars` wrote; undefined for text that is not of that alphabet. */
export function fromByteChars(chars: string): Uint8Array | undefined {
  const bytes = new Uint8Array(chars.length);
  for (let i = 0; i < chars.length; i++) {
    const byte = CHAR_BYTES.get(chars[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
