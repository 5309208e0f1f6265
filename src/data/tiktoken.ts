/**
 * A tokenizer as tiktoken ranks: a line for each ordinary token, its bytes in base64 and its id. tiktoken takes a piece
 * that is a token whole, and else merges the neighbours whose union has the lowest rank. Pattern and special tokens are
 * given to tiktoken by the caller. A token that no merge makes (a required piece) can be merged there out of its parts
 * inside longer pieces, and is not here; ids of such pieces may differ.
 */
import { fromByteChars } from "./pretokenize.ts";
import type { Tokenizer } from "./tokenizer.ts";

export function tiktokenRanks({ parts }: Tokenizer): string {
  const special = new Set(parts.special);
  let text = "";
  parts.tokens.forEach((token, id) => {
    if (!special.has(id)) text += `${Buffer.from(fromByteChars(token)!).toString("base64")} ${id}\n`;
  });
  return text;
}
