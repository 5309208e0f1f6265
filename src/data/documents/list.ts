/**
 * The files that the paths of a corpus stand for: folders are searched, in the order of names, for the extensions asked
 * for; symbolic links and `__pycache__` are passed over. Contract: the same tree gives the same list.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { inputError } from "../../util/errors.ts";
import { onFile } from "../../util/files.ts";
import { type Reader, readJsonLines, readParquet, readText, readWhole } from "./readers.ts";

export interface CorpusFile {
  readonly file: string;
  readonly bytes: number;
  readonly modified: number;
  /** Whether the user named this very file: then what is wrong with it is an error. */
  readonly named: boolean;
  readonly read: Reader;
}

export interface Listing {
  readonly files: readonly CorpusFile[];
  /** Of files and folders that were not looked into. */
  readonly skipped: Readonly<Record<"symbolic link" | "not readable", number>>;
}

const READERS: readonly (readonly [RegExp, Reader])[] = [
  [/\.(jsonl|ndjson)(\.gz)?$/, readJsonLines],
  [/\.parquet$/, readParquet],
  [/\.txt(\.gz)?$/, readText],
];

/**
 * @param extensions of the documents looked for in folders, such as `.py`.
 * @throws inputError for a path that does not exist or cannot be read, or a file of a kind that is not known.
 */
export function listFiles(paths: readonly string[], extensions: readonly string[]): Listing {
  const files = new Map<string, CorpusFile>();
  const skipped = { "symbolic link": 0, "not readable": 0 };
  const add = (file: string, { size, mtimeMs }: fs.Stats, read: Reader, named: boolean): void => {
    files.set(path.resolve(file), { file: path.resolve(file), bytes: size, modified: mtimeMs, named, read });
  };
  const walk = (dir: string): void => {
    const entries = ifReadable(dir, () => fs.readdirSync(dir, { withFileTypes: true }));
    for (const entry of (entries ?? []).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = path.join(dir, entry.name);
      const wanted = extensions.some((extension) => entry.name.endsWith(extension));
      if (entry.isSymbolicLink()) {
        if (wanted) skipped["symbolic link"]++;
      } else if (entry.isDirectory()) {
        if (entry.name !== "__pycache__") walk(file);
      } else if (entry.isFile() && wanted) {
        const stat = ifReadable(file, () => fs.statSync(file));
        if (stat !== undefined) add(file, stat, readerOf(file) ?? readWhole, false);
      }
    }
  };
  const ifReadable = <T>(file: string, work: () => T): T | undefined => {
    try {
      fs.accessSync(file, fs.constants.R_OK);
      return work();
    } catch {
      skipped["not readable"]++;
      return undefined;
    }
  };
  for (const target of paths) {
    const stat = onFile(target, "read", () => fs.statSync(target));
    if (stat.isDirectory()) {
      onFile(target, "read", () => fs.accessSync(target, fs.constants.R_OK));
      walk(target);
      continue;
    }
    const read =
      readerOf(target) ?? (extensions.some((extension) => target.endsWith(extension)) ? readWhole : undefined);
    if (read === undefined || !stat.isFile()) {
      throw inputError(
        "corpus-kind",
        `${target} is no corpus: expected a folder, .jsonl, .jsonl.gz, .parquet, .txt or ${extensions.join(", ")}`,
        "Rename the file after what it holds, or give the folder that it is in.",
      );
    }
    add(target, stat, read, true);
  }
  return { files: [...files.values()], skipped };
}

function readerOf(file: string): Reader | undefined {
  return READERS.find(([pattern]) => pattern.test(file))?.[1];
}
