/** Choice of engine: what is refused, and what the user is told on a fallback. */
import { availableParallelism } from "node:os";
import { describe, expect, test, vi } from "vitest";
import { loadNativeEngine } from "../../src/engine/native/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { createEngine } from "../../src/engine/select.ts";
import { inputError, SparseError } from "../../src/util/errors.ts";

const missing = (): never => {
  throw new Error("no compiler was found");
};
const stub = new ReferenceEngine();
const noAddon = (await createEngine({ engine: "auto" })).notice !== undefined;

async function refusal(run: () => unknown): Promise<SparseError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof SparseError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("createEngine", () => {
  test("auto and native take the native engine without a notice and pass the threads on", async () => {
    const asked: unknown[] = [];
    const load = (options: unknown) => {
      asked.push(options);
      return stub;
    };
    expect(await createEngine({ engine: "auto" }, load)).toEqual({ engine: stub });
    expect(await createEngine({ engine: "native", threads: 1 }, load)).toEqual({ engine: stub });
    expect(asked).toEqual([{}, { threads: 1 }]);
  });

  test("auto falls back with the reason and the fix", async () => {
    const { engine, notice } = await createEngine({ engine: "auto" }, missing);
    expect(engine.info).toEqual({ name: "reference", isa: "javascript", threads: 1 });
    expect(notice).toMatch(/no compiler was found/);
    expect(notice).toMatch(/reference engine runs instead/);
    expect(notice).toMatch(/npm/);
  });

  test("native without an addon is an input error with the fix", async () => {
    const error = await refusal(() => createEngine({ engine: "native" }, missing));
    expect([error.exitCode, error.code]).toEqual([2, "native-engine-missing"]);
    expect(error.message).toMatch(/no compiler was found/);
    expect(error.hint).toMatch(/npm/);
  });

  test("what the addon itself refuses is no reason to fall back", async () => {
    const refuse = (): never => {
      throw inputError("isa", "no such set", "choose another");
    };
    for (const engine of ["auto", "native"] as const) {
      expect((await refusal(() => createEngine({ engine }, refuse))).code).toBe("isa");
    }
  });

  test.skipIf(noAddon)(
    "an instruction set that does not exist is refused with those that the machine runs",
    async () => {
      const error = await refusal(() => createEngine({ engine: "auto" }, () => loadNativeEngine({ isa: "avx3" })));
      expect([error.exitCode, error.code]).toEqual([2, "isa"]);
      expect(error.message).toContain('no instruction set "avx3"');
      expect(error.hint).toContain("plain");
    },
  );

  test.skipIf(noAddon)(
    "an empty SPARSE_ISA is none, and the engine itself refuses thread counts that make no sense",
    async () => {
      vi.stubEnv("SPARSE_ISA", "");
      expect(loadNativeEngine({ threads: 1 }).info.threads).toBe(1);
      vi.unstubAllEnvs();
      for (const threads of [0, -1, Number.NaN]) {
        expect((await refusal(() => loadNativeEngine({ threads }))).code).toBe("threads");
      }
    },
  );

  test("reference never tries the addon", async () => {
    expect((await createEngine({ engine: "reference" }, missing)).notice).toBeUndefined();
  });

  test("thread counts that make no sense are refused, whatever the engine", async () => {
    for (const threads of [0, -1, 1.5, Number.NaN]) {
      for (const engine of ["auto", "native", "reference"] as const) {
        const error = await refusal(() => createEngine({ engine, threads }, () => stub));
        expect([error.exitCode, error.code]).toEqual([2, "threads"]);
        expect(error.message).toContain(String(threads));
      }
    }
  });

  test("more threads than the machine has are refused with their number", async () => {
    const most = availableParallelism();
    const error = await refusal(() => createEngine({ engine: "auto", threads: most + 1 }, () => stub));
    expect(error.message).toBe(`Asked for ${most + 1} threads but this machine has ${most}`);
    expect((await createEngine({ engine: "auto", threads: most }, () => stub)).engine).toBe(stub);
  });
});
