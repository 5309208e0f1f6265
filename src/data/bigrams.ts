/**
 * Log-probabilities of a token given the one before it, counted on a corpus: what a bigram table is started from, so
 * that the network itself need not learn which token tends to follow which.
 */
import type { CorpusStream } from "./corpus.ts";

/** Tokens counted at a time. */
const CHUNK = 65_536;

/**
 * Reads `tokens` tokens from the stream (which moves on by as many) and counts every neighbouring pair, across
 * documents too, as training does.
 *
 * @param smoothing added to every count (0.1: a pair never seen after a token seen 1,000 times gets about 1e-4; adding
 *   one would give a rare token's row mostly to pairs that never occur). A token never seen has a uniform row.
 * @returns [V, V], row-major: entry `previous * V + next` is log P(next | previous), natural logarithm; rows sum to 1
 *   in probability.
 */
export function bigramLogProbs(stream: CorpusStream, vocabSize: number, tokens: number, smoothing = 0.1): Float32Array {
  const counts = new Float64Array(vocabSize * vocabSize);
  let previous = -1;
  for (let left = tokens; left > 0; left -= CHUNK) {
    const chunk = stream.batch(1, Math.min(left, CHUNK) - 1).tokens;
    for (const token of chunk) {
      if (previous >= 0) counts[previous * vocabSize + token]! += 1;
      previous = token;
    }
  }
  const table = new Float32Array(vocabSize * vocabSize);
  for (let row = 0; row < vocabSize; row++) {
    const start = row * vocabSize;
    let sum = 0;
    for (let j = 0; j < vocabSize; j++) sum += counts[start + j]!;
    const total = Math.log(sum + smoothing * vocabSize);
    for (let j = 0; j < vocabSize; j++) table[start + j] = Math.log(counts[start + j]! + smoothing) - total;
  }
  return table;
}
