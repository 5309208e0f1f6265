import * as fs from "node:fs";
import * as path from "node:path";
import { gzipSync } from "node:zlib";
import { type BasicType, parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { type DocumentOptions, Documents } from "../../src/data/documents/documents.ts";
import { SparseError } from "../../src/util/errors.ts";
import { useTempDir } from "../support/temp.ts";

const temp = useTempDir();

const OPTIONS: DocumentOptions = { paths: [], extensions: [".py"], textField: "text", separator: "<|endoftext|>" };

/** A program of its own for each number, long enough to be read. */
const program = (n: number): string => `# program ${n}\n${"total = total + size\n".repeat(5)}`;

function write(name: string, content: string | Uint8Array): string {
  const file = temp(name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  return file;
}

async function read(paths: readonly string[], options: Partial<DocumentOptions> = {}) {
  const documents = new Documents({ ...OPTIONS, ...options, paths });
  const texts: string[] = [];
  for await (const { text } of documents.read()) texts.push(text);
  return { texts, documents };
}

async function refusal(paths: readonly string[], options: Partial<DocumentOptions> = {}): Promise<SparseError> {
  const error = await read(paths, options).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(SparseError);
  expect((error as SparseError).exitCode).toBe(2);
  expect((error as SparseError).hint).toBeTruthy();
  return error as SparseError;
}

function parquet(name: string, data: unknown[], type: BasicType = "STRING", rowGroupSize = 2): string {
  const column = { name: "content", data: data as string[], type, nullable: true };
  return write(name, new Uint8Array(parquetWriteBuffer({ columnData: [column], rowGroupSize })));
}

describe("folders", () => {
  it("are searched for programs; what is left out is counted by reason", async () => {
    for (const [name, n] of [
      ["b.py", 1],
      ["a/x.py", 2],
      ["a/y.py", 3],
      ["a/deep/z.py", 4],
      ["copy.py", 1],
    ] as const) {
      write(`src/${name}`, program(n));
    }
    write("src/a/__pycache__/hidden.py", program(5));
    write("src/readme.md", program(6));
    write("src/short.py", "x = 1\n");
    write("src/long.py", "x = 1\n".repeat(50_000));
    write("src/latin.py", Buffer.concat([Buffer.from(program(7)), Buffer.from([0xe9])]));
    write("src/binary.py", Buffer.concat([Buffer.from(program(8)), Buffer.from([0])]));
    fs.symlinkSync(temp("src/b.py"), temp("src/link.py"));
    fs.symlinkSync(temp("src"), temp("src/a/loop"));
    const { texts, documents } = await read([temp("src")]);
    expect([...texts].sort()).toEqual([1, 2, 3, 4].map(program));
    expect(documents.skipped).toEqual({
      "symbolic link": 1,
      duplicate: 1,
      "too short": 1,
      "too long": 1,
      "not UTF-8": 1,
      binary: 1,
    });
    expect(documents.found).toBe(9);
    expect(documents.files).toHaveLength(9);
    expect(documents.fraction).toBe(1);
  });

  it("give the same documents in the same order, not that of names, and each file once", async () => {
    for (let i = 0; i < 30; i++) write(`src/${String(i).padStart(2, "0")}.py`, program(i));
    const { texts, documents } = await read([temp("src")]);
    const again = await read([temp("src"), temp("src/03.py")]);
    expect(again.texts).toEqual(texts);
    expect(texts).not.toEqual([...texts].sort());
    expect(again.documents.fingerprint).toBe(documents.fingerprint);
    fs.appendFileSync(temp("src/03.py"), "y = 1\n");
    expect((await read([temp("src")])).documents.fingerprint).not.toBe(documents.fingerprint);
  });

  it("may hold other extensions", async () => {
    write("src/a.js", program(1));
    expect((await read([temp("src")], { extensions: [".js"] })).texts).toEqual([program(1)]);
    const error = await refusal([temp("src")]);
    expect(error.message).toMatch(/No \.py files are in .*src/);
    expect(error.hint).toMatch(/data\.extensions/);
  });
});

describe("files of many documents", () => {
  const lines = [1, 2, 3].map((n) => JSON.stringify({ id: n, text: program(n), code: `${program(n)}#` }));

  it("are JSONL, plain or packed, with a field of choice", async () => {
    const texts = [1, 2, 3].map(program);
    for (const [name, content] of [
      ["a.jsonl", lines.join("\n")],
      ["b.jsonl", `\n${lines.join("\r\n\n")}\n`],
      ["c.jsonl.gz", gzipSync(lines.join("\n"))],
    ] as const) {
      const { texts: found, documents } = await read([write(name, content)]);
      expect(found).toEqual(texts);
      expect(documents.files[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect((await read([temp("a.jsonl")], { textField: "code" })).texts).toEqual(texts.map((text) => `${text}#`));
  });

  it("are text cut at a separator, across the pieces that a file is read in", async () => {
    const texts = Array.from({ length: 400 }, (_, n) => `${program(n)}${"é".repeat(2000)}`);
    const file = write("a.txt", texts.join("<|endoftext|>"));
    expect(fs.statSync(file).size).toBeGreaterThan(2 ** 20);
    expect((await read([file])).texts).toEqual(texts);
    expect((await read([write("b.txt", texts.slice(0, 3).join("\n\n\n"))], { separator: "\n\n\n" })).texts).toEqual(
      texts.slice(0, 3),
    );
  });

  it("are Parquet, a row group at a time", async () => {
    const rows = [program(1), program(2), null, program(3), program(4)];
    const { texts, documents } = await read([parquet("a.parquet", rows)], { textField: "content" });
    expect(texts).toEqual([1, 2, 3, 4].map(program));
    expect(documents.skipped).toEqual({ "no text": 1 });
  });

  it.each<[string, () => string, RegExp, RegExp]>([
    [
      "a line that is not JSON",
      () => write("a.jsonl", `${lines[0]}\n{"text": "un`),
      /a\.jsonl, line 2 is not JSON/,
      /line/,
    ],
    ["a line that is no object", () => write("a.jsonl", `${lines[0]}\n\n[1]`), /line 3 is not a JSON object/, /"text"/],
    [
      "a line without the field",
      () => write("a.jsonl", '{"body": "x", "n": 1}'),
      /line 1 has no field "text"/,
      /--text-field body/,
    ],
    [
      "a field that is no text",
      () => write("a.jsonl", '{"text": 5}'),
      /line 1: field "text" is not text/,
      /--text-field/,
    ],
    [
      "a line that is not UTF-8",
      () => write("a.jsonl", Buffer.from([0x7b, 0xff, 0x0a])),
      /line 1 is not UTF-8/,
      /Convert/,
    ],
    [
      "broken gzip",
      () => write("a.jsonl.gz", gzipSync(lines.join("\n")).subarray(0, 60)),
      /a\.jsonl\.gz cannot be unpacked/,
      /again/,
    ],
    ["no gzip at all", () => write("a.txt.gz", "hello"), /a\.txt\.gz cannot be unpacked/, /again/],
    [
      "no such column",
      () => parquet("a.parquet", [program(1)]),
      /a\.parquet has no column "text"/,
      /--text-field content/,
    ],
    ["no Parquet", () => write("a.parquet", "hello parquet, hello"), /a\.parquet cannot be read as Parquet/, /again/],
    ["a named binary file", () => write("a.py", Buffer.from([1, 0, 2])), /a\.py holds binary data/, /leave it out/],
    [
      "a named file of other text",
      () => write("a.py", Buffer.from([0xe9, 0x20])),
      /a\.py holds text that is not UTF-8/,
      /Convert/,
    ],
    ["a file of unknown kind", () => write("a.zip", "x"), /a\.zip is no corpus: expected a folder, \.jsonl/, /Rename/],
    ["no file", () => temp("nothing"), /nothing: no such file or folder/, /path/],
    ["an empty folder", () => path.dirname(write("empty/x.md", "")), /No \.py files/, /other folders/],
  ])("refuses %s", async (_, make, message, hint) => {
    const error = await refusal([make()]);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });

  it("refuses a column of numbers", async () => {
    const error = await refusal([parquet("a.parquet", [1, 2], "INT32")], { textField: "content" });
    expect(error.message).toMatch(/a\.parquet, row 1: column "content" holds number values/);
  });
});
