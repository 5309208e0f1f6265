/**
 * Tokenizers as Hugging Face `tokenizer.json` text (BPE; Split on a pattern, then ByteLevel), which other software reads
 * too. Contract: `tokenizerFromJson(tokenizerToJson(t))` encodes like `t` and has its hash; files of the same form that
 * other software wrote are read, and any other text is refused with what was expected and what was found. Reads and
 * writes no files itself.
 */
import { z } from "zod";
import { inputError } from "../util/errors.ts";
import { BYTE_ALPHABET, fromByteChars, pieceCutter } from "./pretokenize.ts";
import { EOT_TEXT, type Tokenizer, type TokenizerParts, tokenizerOf } from "./tokenizer.ts";

const HINT =
  "Use the tokenizer.json of a run, one that `sparse tokenizer train` wrote, or one of the same form: byte-level BPE, " +
  "split by one regular expression.";

const tokenSchema = z.object({ id: z.number().int().min(0), content: z.string(), special: z.boolean() });
const absent = z.null().optional();
const off = z.literal(false).nullable().optional();

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
        pattern: z.object({ Regex: z.string() }),
        behavior: z.literal("Isolated"),
        invert: z.literal(false),
      }),
      z.object({ type: z.literal("ByteLevel"), add_prefix_space: z.literal(false), use_regex: z.literal(false) }),
    ]),
  }),
  model: z.object({
    type: z.literal("BPE"),
    dropout: absent,
    unk_token: z.string().nullable().optional(),
    continuing_subword_prefix: absent.or(z.literal("")),
    end_of_word_suffix: absent.or(z.literal("")),
    fuse_unk: off,
    byte_fallback: off,
    ignore_merges: z.boolean().default(false),
    vocab: z.record(z.string(), z.number().int().min(0).max(65535)),
    /** Pairs, or in older files pairs joined by a space. */
    merges: z.array(z.union([z.tuple([z.string(), z.string()]), z.string()])),
  }),
});

type TokenizerFile = z.infer<typeof fileSchema>;

/** @returns the text of a `tokenizer.json`, indented, ending with a newline. */
export function tokenizerToJson({ parts }: Tokenizer): string {
  const { pattern, tokens, merges, ignoreMerges, special, unk } = parts;
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((id) => ({
      id,
      content: tokens[id],
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
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: unk === undefined ? null : tokens[unk],
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * @param name what to call the text in errors, e.g. its path.
 * @throws inputError when the text is not a tokenizer of the form above.
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
    throw refuse(name, ` is not a tokenizer that can be used here: ${where}: ${issue.message}`);
  }
  return tokenizerOf(partsOf(parsed.data, name));
}

function refuse(name: string, why: string): Error {
  return inputError("tokenizer-file", name + why, HINT);
}

function partsOf({ model, added_tokens: added, pre_tokenizer }: TokenizerFile, name: string): TokenizerParts {
  const pattern = pre_tokenizer.pretokenizers[0].pattern.Regex;
  try {
    pieceCutter(pattern);
  } catch (error) {
    throw refuse(name, `: the pattern cannot be used in JavaScript: ${(error as Error).message}`);
  }
  // Added tokens may be outside the model's vocabulary.
  const vocab = { ...model.vocab, ...Object.fromEntries(added.map(({ content, id }) => [content, id])) };
  const tokens = tokensById(vocab, name);
  const plain = added.find((token) => !token.special);
  if (plain !== undefined) {
    throw refuse(name, ` has the added token ${JSON.stringify(plain.content)}, which is not special: not supported`);
  }
  const eot = added.find(({ content }) => content === EOT_TEXT)?.id;
  if (eot === undefined) {
    const found = added.map(({ content }) => content).join(", ") || "none";
    throw refuse(name, `: expected the special token ${EOT_TEXT} among the added tokens, found ${found}`);
  }
  const special = new Set(added.map(({ id }) => id));
  const unk = model.unk_token == null ? undefined : vocab[model.unk_token];
  if (unk !== undefined) special.add(unk);
  tokens.forEach((token, id) => {
    if (!special.has(id) && fromByteChars(token) === undefined) {
      throw refuse(name, `: token ${JSON.stringify(token)} is not byte-level text`);
    }
  });
  const missing = BYTE_ALPHABET.filter((char) => vocab[char] === undefined);
  if (missing.length > 0 && unk === undefined) {
    throw refuse(
      name,
      ` lacks ${missing.length} of the 256 bytes, such as ${JSON.stringify(missing[0])}, and has no unknown token`,
    );
  }
  const merges = model.merges.map((merge) => (typeof merge === "string" ? merge.split(" ") : merge));
  for (const merge of merges) {
    if (merge.length !== 2 || vocab[merge.join("")] === undefined) {
      throw refuse(name, `: the merge ${JSON.stringify(merge)} does not make a token of the vocabulary`);
    }
  }
  return {
    pattern,
    tokens,
    merges: merges as [string, string][],
    ignoreMerges: model.ignore_merges,
    special: [...special].sort((a, b) => a - b),
    eot,
    unk,
  };
}

/** The vocabulary by id, checked to be complete: ids 0 to V-1, each once. */
function tokensById(vocab: Readonly<Record<string, number>>, name: string): string[] {
  const entries = Object.entries(vocab);
  const tokens: string[] = [];
  for (const [token, id] of entries) tokens[id] = token;
  for (let id = 0; id < entries.length; id++) {
    if (tokens[id] === undefined) throw refuse(name, `: expected ids 0 to ${entries.length - 1}, but ${id} is missing`);
  }
  return tokens;
}
