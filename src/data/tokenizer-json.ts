/**
 * Tokenizers as Hugging Face `tokenizer.json` text (BPE; Split on the pattern, then ByteLevel), which other software
 * reads too. Contract: `tokenizerFromJson(tokenizerToJson(t))` encodes like `t` and has its hash; any text that is not
 * such a file is refused with what was expected and what was found. Reads and writes no files itself.
 */
import { z } from "zod";
import { inputError } from "../util/errors.ts";
import { fromByteChars, PIECE_PATTERN, toByteChars } from "./pretokenize.ts";
import { ALPHABET, closedTokenizer, EOT_TEXT, type Tokenizer, UNK_TEXT } from "./tokenizer.ts";

const HINT = "Use the tokenizer.json that `sparse train` wrote into the run, or train again.";

const tokenSchema = z.object({ id: z.number().int().min(0), content: z.string(), special: z.boolean() });

/** Only what decides how text is encoded; a file may say more. */
const fileSchema = z.object({
  version: z.literal("1.0"),
  added_tokens: z.array(tokenSchema),
  normalizer: z.null(),
  pre_tokenizer: z.object({
    type: z.literal("Sequence"),
    pretokenizers: z.tuple([
      z.object({
        type: z.literal("Split"),
        pattern: z.object({ Regex: z.literal(PIECE_PATTERN) }),
        behavior: z.literal("Isolated"),
        invert: z.literal(false),
      }),
      z.object({ type: z.literal("ByteLevel"), add_prefix_space: z.literal(false), use_regex: z.literal(false) }),
    ]),
  }),
  model: z.object({
    type: z.literal("BPE"),
    unk_token: z.literal(UNK_TEXT),
    ignore_merges: z.literal(true),
    vocab: z.record(z.string(), z.number().int().min(0).max(65535)),
    merges: z.array(z.unknown()).length(0),
  }),
});

/** @returns the text of a `tokenizer.json`, indented, ending with a newline. */
export function tokenizerToJson(tokenizer: Tokenizer): string {
  const vocab: Record<string, number> = {};
  const special = [0, tokenizer.eot];
  tokenizer.pieces.forEach((piece, id) => {
    vocab[special.includes(id) ? piece : toByteChars(piece)] = id;
  });
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((id) => ({
      id,
      content: tokenizer.pieces[id],
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: PIECE_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: UNK_TEXT,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab,
      merges: [],
    },
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * @param name what to call the text in errors, e.g. its path.
 * @throws inputError when the text is not a tokenizer of this tool.
 */
export function tokenizerFromJson(text: string, name: string): Tokenizer {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw inputError("tokenizer-file", `${name} is not complete JSON: ${(cause as Error).message}`, HINT, cause);
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const where = issue.path.join(".") || "the file";
    throw inputError("tokenizer-file", `${name} is not a tokenizer of this tool: ${where}: ${issue.message}`, HINT);
  }
  const { model, added_tokens: added } = parsed.data;
  const pieces = piecesById(model.vocab, name);
  const eot = pieces.length - 1;
  const special = new Map(added.map((token) => [token.id, token]));
  if (special.size !== 2 || special.get(0)?.content !== UNK_TEXT || special.get(eot)?.content !== EOT_TEXT) {
    throw inputError(
      "tokenizer-file",
      `${name}: expected the added tokens ${UNK_TEXT} (first id) and ${EOT_TEXT} (last id), found ` +
        added.map((token) => `${token.content} (${token.id})`).join(", "),
      HINT,
    );
  }
  const tokenizer = closedTokenizer(pieces.slice(1, eot));
  // The ids follow from the pieces; a file with other ids would decode to other text.
  const moved = pieces.findIndex((piece, id) => tokenizer.pieces[id] !== piece);
  if (moved !== -1 || tokenizer.vocabSize !== pieces.length) {
    const id = moved === -1 ? pieces.length : moved;
    throw inputError(
      "tokenizer-file",
      `${name}: expected ${JSON.stringify(tokenizer.pieces[id])} at id ${id}, found ${JSON.stringify(pieces[id])}`,
      HINT,
    );
  }
  return tokenizer;
}

/** The vocabulary as text by id, checked to be complete: ids 0 to V-1, each once. */
function piecesById(vocab: Readonly<Record<string, number>>, name: string): string[] {
  const entries = Object.entries(vocab);
  const smallest = ALPHABET.length + 2;
  if (entries.length < smallest) {
    throw inputError("tokenizer-file", `${name}: expected ${smallest} tokens or more, found ${entries.length}`, HINT);
  }
  const pieces: string[] = [];
  for (const [chars, id] of entries) {
    const isSpecial = chars === UNK_TEXT || chars === EOT_TEXT;
    const piece = isSpecial ? chars : fromByteChars(chars);
    if (piece === undefined) {
      throw inputError("tokenizer-file", `${name}: token ${JSON.stringify(chars)} is not byte-level text`, HINT);
    }
    pieces[id] = piece;
  }
  for (let id = 0; id < entries.length; id++) {
    if (pieces[id] === undefined) {
      throw inputError(
        "tokenizer-file",
        `${name}: expected ids 0 to ${entries.length - 1}, but ${id} is missing`,
        HINT,
      );
    }
  }
  return pieces;
}
