/** Checksums against published values; atomic writing; errors of the file system. */
import * as fs from "node:fs";
import * as path from "node:path";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32, crc32c } from "../../src/util/crc.ts";
import { SparseError } from "../../src/util/errors.ts";
import {
  describeFsError,
  ensureWritableDir,
  isTemporaryName,
  removeTemporaries,
  withFile,
  writeDirAtomic,
  writeFileAtomic,
} from "../../src/util/files.ts";
import { checkProperty } from "../support/property.ts";
import { refused } from "../support/refused.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();

it.runIf(process.platform === "linux")("refuses at once a folder that no system call can make", () => {
  expect(refused(() => ensureWritableDir("/proc/sparse-circuits/below")).message).toContain("/proc/sparse-circuits");
});

describe("checksums", () => {
  it("equal the published check values", () => {
    expect(crc32(Buffer.from("123456789"))).toBe(0xcbf43926);
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  });

  it("can be continued, and equal gzip's", () => {
    checkProperty(fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.nat(100)), 100, ([bytes, split]) => {
      expect(crc32(bytes.subarray(split), crc32(bytes.subarray(0, split)))).toBe(crc32(bytes));
      // gzip ends with the CRC-32 and the length of its content.
      const gzip = zlib.gzipSync(bytes);
      expect(crc32(bytes)).toBe(gzip.readUInt32LE(gzip.length - 8));
    });
  });
});

describe("file system errors", () => {
  const make = (code: string): Error => Object.assign(new Error(code), { code, syscall: "write" });

  it.each(["ENOSPC", "EACCES", "EROFS", "EDQUOT", "EIO", "ESOMETHING"])(
    "%s names the path and says what to do",
    (code) => {
      const error = describeFsError(make(code), "/some/path", "write") as SparseError;
      expect(error).toBeInstanceOf(SparseError);
      expect(error.exitCode).toBe(2);
      expect(error.message).toContain("/some/path");
      expect(error.message).toContain(code);
      expect(error.hint).toBeTruthy();
    },
  );

  it("leaves other errors alone", () => {
    const bug = new TypeError("x is not a function");
    expect(describeFsError(bug, "/some/path", "write")).toBe(bug);
  });

  it("come from real failures too", () => {
    fs.writeFileSync(at("file"), "");
    expect(refused(() => ensureWritableDir(at("file", "below"))).message).toContain(at("file", "below"));
    expect(refused(() => writeFileAtomic(at("missing", "x"), "")).message).toContain("ENOENT");
    expect(refused(() => withFile(at("nothing"), () => 0)).message).toContain(at("nothing"));
    expect(refused(() => withFile(at(), () => 0)).message).toContain("not a file");
  });
});

describe("atomic writing", () => {
  it("replaces a file whole, and leaves nothing else", () => {
    writeFileAtomic(at("f"), "old");
    writeFileAtomic(at("f"), [Buffer.from("ne"), Buffer.from("w")]);
    expect(fs.readFileSync(at("f"), "utf8")).toBe("new");
    expect(fs.readdirSync(at())).toEqual(["f"]);
  });

  it("never replaces what is not a regular file", () => {
    fs.mkdirSync(at("folder"));
    fs.symlinkSync(at("folder"), at("link"));
    for (const name of ["folder", "link"]) {
      expect(refused(() => writeFileAtomic(at(name), "x")).code).toBe("not-a-file");
      expect(fs.statSync(at(name)).isDirectory()).toBe(true);
    }
    expect(refused(() => writeFileAtomic("/dev/null", "x")).code).toBe("not-a-file");
    expect(fs.statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  it("keeps the old file when writing fails", () => {
    writeFileAtomic(at("f"), "old");
    const failing = function* (): Generator<Uint8Array> {
      yield Buffer.from("half");
      throw new Error("killed");
    };
    expect(() => writeFileAtomic(at("f"), failing())).toThrow("killed");
    expect(fs.readFileSync(at("f"), "utf8")).toBe("old");
    expect(fs.readdirSync(at())).toEqual(["f"]);
  });

  it("makes a folder whole or not at all", () => {
    const fill = (text: string) => (dir: string) => fs.writeFileSync(path.join(dir, "f"), text);
    const read = (): string => fs.readFileSync(at("d", "f"), "utf8");
    writeDirAtomic(at("d"), fill("1"));
    expect(refused(() => writeDirAtomic(at("d"), fill("2"))).message).toContain(at("d"));
    expect(read()).toBe("1");
    const failing = (): void => {
      throw new Error("killed");
    };
    expect(() => writeDirAtomic(at("d"), failing, "replace")).toThrow("killed");
    expect(read()).toBe("1");
    writeDirAtomic(at("d"), fill("3"), "replace");
    expect(read()).toBe("3");
    writeDirAtomic(at("d"), fill("4"), { keepOldAs: at("kept") });
    expect(read()).toBe("4");
    expect(fs.readFileSync(at("kept", "f"), "utf8")).toBe("3");
    expect(fs.readdirSync(at()).sort()).toEqual(["d", "kept"]);
  });

  it("puts the old folder back when the new one cannot take its place", () => {
    writeDirAtomic(at("d"), (dir) => fs.writeFileSync(path.join(dir, "f"), "1"));
    // The neighbour vanishes before it is renamed, as if another program removed it.
    expect(
      refused(() => writeDirAtomic(at("d"), (dir) => fs.rmSync(dir, { recursive: true }), "replace")).message,
    ).toContain("ENOENT");
    expect(fs.readFileSync(at("d", "f"), "utf8")).toBe("1");
    expect(fs.readdirSync(at())).toEqual(["d"]);
  });

  it("knows and removes its leftovers only", () => {
    for (const name of [".x.tmp-0123abcd", ".x.old-0123abcd", ".x.replaced", "x.tmp-0123abcd", ".x.tmp-0123"])
      fs.mkdirSync(at(name));
    expect(isTemporaryName(".x.tmp-0123abcd")).toBe(true);
    removeTemporaries(at());
    expect(fs.readdirSync(at()).sort()).toEqual([".x.replaced", ".x.tmp-0123", "x.tmp-0123abcd"]);
  });
});
