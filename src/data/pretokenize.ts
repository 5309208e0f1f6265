/**
 * Cutting text into pieces, and the byte alphabet of `tokenizer.json`. Every tokenizer of the tool cuts with this one
 * pattern, so that `("`, `')` + newline, `]]` + newline, ` +=` and the like are single pieces, as in the vocabulary of
 * Gao et al. 2025 (A.7); it is their pattern with one alternative in front, which keeps opening brackets countable.
 */

export const PIECE_PATTERN = [
  " ?\\[(?=\\[)",
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

const PIECE = new RegExp(PIECE_PATTERN, "gu");

/** The pieces of `text`, in order; joined they are `text` again. */
export function cutPieces(text: string): string[] {
  return text.match(PIECE) ?? [];
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

const CHAR_BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARS.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Number of bytes of `text` in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

export function toByteChars(text: string): string {
  let out = "";
  for (const byte of encoder.encode(text)) out += BYTE_CHARS[byte];
  return out;
}

/** Undoes `toByteChars`; undefined for text that is not of that alphabet, or not UTF-8 underneath. */
export function fromByteChars(chars: string): string | undefined {
  const bytes: number[] = [];
  for (const char of chars) {
    const byte = CHAR_BYTES.get(char);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}
