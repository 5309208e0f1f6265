/**
 * Files: checked random-access reading, atomic writing, and the file system's errors in the user's words.
 *
 * Contract: a reader sees a file or folder written here either whole or not at all, also after a kill or power loss:
 * everything goes to a hidden neighbour first, is flushed, and is then renamed. Every failure of the file system is an
 * input error that names the path and what to do.
 */
import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { inputError, SparseError } from "./errors.ts";

const HINTS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ["the disk is full", "Free some space, or write to another disk."],
  EDQUOT: ["the disk quota is used up", "Free some space, or write to another disk."],
  EFBIG: ["the file would be larger than this file system allows", "Write to another disk."],
  EACCES: ["permission denied", "Change the permissions, or choose another folder."],
  EPERM: ["the operation is not permitted", "Change the permissions, or choose another folder."],
  EROFS: ["the file system is read-only", "Choose a folder that can be written."],
  ENOENT: ["no such file or folder", "Check the path."],
  ENOTDIR: ["a part of the path is a file, not a folder", "Check the path."],
  EISDIR: ["this is a folder, not a file", "Check the path."],
  EEXIST: ["it exists already", "Choose another name."],
  ENOTEMPTY: ["it exists already and is not empty", "Choose another name."],
  ENAMETOOLONG: ["the name is too long", "Choose a shorter name."],
  ELOOP: ["too many symbolic links", "Check the path."],
  EMFILE: ["too many open files", "Close some files, or raise the limit with `ulimit -n`."],
  ENFILE: ["too many open files on this machine", "Close some programs."],
  EBUSY: ["it is in use", "Close what uses it and try again."],
  EIO: ["the disk reported an error", "Check the disk, or use another one."],
};

/** The `code` of a file system error, or undefined for anything else. */
export function fsErrorCode(error: unknown): string | undefined {
  const e = error as NodeJS.ErrnoException | null;
  return error instanceof Error && typeof e?.syscall === "string" ? e.code : undefined;
}

/** A file system error as an input error that names the path; any other error comes back unchanged. */
export function describeFsError(error: unknown, target: string, action: "read" | "write"): unknown {
  const code = fsErrorCode(error);
  if (error instanceof SparseError || code === undefined) return error;
  const [reason, hint] = HINTS[code] ?? [(error as Error).message, "Check the path and the disk."];
  return inputError(`cannot-${action}`, `cannot ${action} ${target}: ${reason} (${code})`, hint, error);
}

/** Runs `work`, turning file system errors into input errors about `target`. */
export function onFile<T>(target: string, action: "read" | "write", work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw describeFsError(error, target, action);
  }
}

/** Bytes with a known size, read in pieces, so that a file larger than memory allows can be opened. */
export interface ByteSource {
  /** What errors call it. */
  readonly label: string;
  readonly size: number;
  /** A fresh copy of [offset, offset + length), aligned for any typed array; throws an input error past the end. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
}

function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size)) {
    throw inputError(
      "truncated-file",
      `${source.label} is truncated: expected at least ${offset + length} bytes but it has ${source.size}`,
      "Copy or download the file again.",
    );
  }
}

export function memorySource(label: string, bytes: Uint8Array): ByteSource {
  const source: ByteSource = {
    label,
    size: bytes.length,
    read(offset, length) {
      checkRange(source, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
  return source;
}

/** Reads are split because one system call moves less than 2 GiB. */
const READ_PIECE = 1 << 30;

/** Opens a file for `work` and closes it afterwards. */
export function withFile<T>(file: string, work: (source: ByteSource) => T): T {
  return onFile(file, "read", () => {
    const fd = fs.openSync(file, "r");
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile()) throw inputError("not-a-file", `${file} is not a file`, "Check the path.");
      const source: ByteSource = {
        label: file,
        size: stat.size,
        read(offset, length) {
          checkRange(source, offset, length);
          const bytes = new Uint8Array(length);
          for (let done = 0; done < length; ) {
            const got = fs.readSync(fd, bytes, done, Math.min(READ_PIECE, length - done), offset + done);
            if (got === 0) throw inputError("truncated-file", `${file} became shorter while it was read`, "Try again.");
            done += got;
          }
          return bytes;
        },
      };
      return work(source);
    } finally {
      fs.closeSync(fd);
    }
  });
}

export function pathExists(target: string): boolean {
  try {
    fs.statSync(target);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(fsErrorCode(error) ?? "")) return false;
    throw describeFsError(error, target, "read");
  }
}

/** Text of a small file. */
export function readText(file: string): string {
  return onFile(file, "read", () => fs.readFileSync(file, "utf8"));
}

/** The folder and its parents, where missing. Not `mkdir` with `recursive`, which never ends below /proc. */
function makeDirs(dir: string): void {
  const parent = path.dirname(dir);
  if (parent !== dir && !fs.existsSync(parent)) makeDirs(parent);
  try {
    fs.mkdirSync(dir);
  } catch (error) {
    if (!fs.statSync(dir, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Creates the folder and its parents where missing, and checks that files can be made in it. */
export function ensureWritableDir(dir: string): void {
  onFile(dir, "write", () => {
    makeDirs(dir);
    const probe = hiddenNeighbour(path.join(dir, "probe"), "tmp");
    fs.closeSync(fs.openSync(probe, "wx"));
    fs.unlinkSync(probe);
  });
}

/** `dir/.name.kind-1234abcd`: hidden, in the same folder and so on the same file system. */
function hiddenNeighbour(target: string, kind: string): string {
  return path.join(path.dirname(target), `.${path.basename(target)}.${kind}-${randomUUID().slice(0, 8)}`);
}

/** Whether a name was made by an unfinished atomic write. */
export function isTemporaryName(name: string): boolean {
  return /^\..+\.(tmp|old)-[0-9a-f]{8}$/.test(name);
}

/** Makes a rename durable. Not every platform can flush a folder; the rename is atomic without it. */
function flushDir(dir: string): void {
  let fd: number | undefined;
  try {
    fd = fs.openSync(dir, "r");
    fs.fsyncSync(fd);
  } catch {
    // Windows cannot open a folder.
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** Writes all of `bytes` to an open file; a short write continues. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; )
    done += fs.writeSync(fd, bytes, done, Math.min(READ_PIECE, bytes.length - done));
}

/** Writes the file whole or not at all: hidden neighbour, fsync, rename. The parent folder must exist. */
export function writeFileAtomic(file: string, data: string | Uint8Array | Iterable<Uint8Array>): void {
  const pieces = typeof data === "string" ? [Buffer.from(data)] : data instanceof Uint8Array ? [data] : data;
  refuseSpecial(file);
  const temp = hiddenNeighbour(file, "tmp");
  onFile(file, "write", () => {
    let fd: number | undefined;
    try {
      fd = fs.openSync(temp, "wx");
      for (const piece of pieces) writeFully(fd, piece);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      fd = undefined;
      fs.renameSync(temp, file);
    } catch (error) {
      if (fd !== undefined) fs.closeSync(fd);
      fs.rmSync(temp, { force: true });
      throw error;
    }
  });
  flushDir(path.dirname(file));
}

/** Renaming would replace a device, a pipe or a folder by a file. */
function refuseSpecial(file: string): void {
  const there = onFile(file, "write", () => fs.statSync(file, { throwIfNoEntry: false }));
  if (there === undefined || there.isFile()) return;
  throw inputError(
    "not-a-file",
    `${file} exists and is not a regular file`,
    "Name a file that is not there yet, or one to replace.",
  );
}

/**
 * Makes a folder appear whole or not at all. `fill` writes into a hidden neighbour, which is then renamed.
 * An existing folder is kept under the name `keepOldAs` returns, deleted after the new one is in place ("replace"), or
 * refused ("refuse"). If `fill` or the renames fail, what existed stays where it was.
 */
export function writeDirAtomic(
  dir: string,
  fill: (temp: string) => void,
  existing: "refuse" | "replace" | { readonly keepOldAs: string } = "refuse",
): void {
  const temp = hiddenNeighbour(dir, "tmp");
  onFile(dir, "write", () => {
    makeDirs(path.dirname(dir));
    try {
      fs.mkdirSync(temp);
      fill(temp);
      flushDir(temp);
      // Renaming onto an empty folder replaces it; a folder with content is refused by the system.
      if (existing !== "refuse" && pathExists(dir)) {
        const aside = existing === "replace" ? hiddenNeighbour(dir, "old") : existing.keepOldAs;
        fs.renameSync(dir, aside);
        try {
          fs.renameSync(temp, dir);
        } catch (error) {
          fs.renameSync(aside, dir);
          throw error;
        }
        if (existing === "replace") fs.rmSync(aside, { recursive: true });
      } else {
        fs.renameSync(temp, dir);
      }
    } catch (error) {
      fs.rmSync(temp, { recursive: true, force: true });
      throw error;
    }
  });
  flushDir(path.dirname(dir));
}

/** Deletes what unfinished atomic writes left in a folder. Only for folders with a single writer. */
export function removeTemporaries(dir: string): void {
  onFile(dir, "write", () => {
    for (const name of fs.existsSync(dir) ? fs.readdirSync(dir) : []) {
      if (isTemporaryName(name)) fs.rmSync(path.join(dir, name), { recursive: true, force: true });
    }
  });
}
