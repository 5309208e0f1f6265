/** Two sources as one, of which one has a given share of the tokens. Random access, as its parts: nothing to remember. */
import { type DocumentSource, encodeDocument } from "./corpus.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Documents read to know how long those of a source are. */
const SAMPLE = 200;

/** Mean tokens of a document, the end-of-text before it counted. */
function meanTokens(source: DocumentSource, tokenizer: Tokenizer): number {
  let sum = 0;
  for (let i = 0; i < SAMPLE; i++) sum += encodeDocument(source.document(i), tokenizer).length;
  return sum / SAMPLE;
}

/** `share` of the tokens (above 0, below 1) are of `part`, in expectation and spread evenly; the others of `rest`. */
export function mixSources(
  part: DocumentSource,
  share: number,
  rest: DocumentSource,
  tokenizer: Tokenizer,
): DocumentSource {
  const [x, y] = [share / meanTokens(part, tokenizer), (1 - share) / meanTokens(rest, tokenizer)];
  const rate = x / (x + y);
  return {
    id: `mix/${share}/${part.id}+${rest.id}`,
    document: (index) => {
      const before = Math.floor(index * rate);
      return Math.floor((index + 1) * rate) > before ? part.document(before) : rest.document(index - before);
    },
  };
}
