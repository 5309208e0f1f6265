/**
 * The engines that tests run over: the reference always, the native one for every instruction set that the machine
 * and the build have, TensorFlow.js on every backend that is installed. What is absent is listed with its reason, so that suites can report it by name.
 */
import type { Activation, Engine, KeptSet, TokenShape } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { TENSORFLOW_BACKENDS } from "../../src/engine/tensorflow/names.ts";

export interface EngineCase {
  readonly name: string;
  open(options?: { threads?: number }): Engine;
}

type Loader = (options: { threads?: number; isa?: string }) => Engine;

export const reference: EngineCase = { name: "reference", open: () => new ReferenceEngine({ poison: true }) };
export const natives: EngineCase[] = [];
export const tensorflows: EngineCase[] = [];
export const absent: { name: string; reason: string }[] = [];

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function findLoader(): Promise<Loader> {
  const module = (await import("../../src/engine/native/engine.ts")) as { loadNativeEngine: Loader };
  return module.loadNativeEngine;
}

function openIsa(load: Loader, isa: string, threads: number | undefined): Engine {
  const before = process.env.SPARSE_ISA;
  process.env.SPARSE_ISA = isa;
  try {
    const engine = load(threads === undefined ? { isa } : { isa, threads });
    if (engine.info.isa !== isa) {
      engine.dispose();
      throw new Error(`asked for ${isa} but ${engine.info.isa} runs`);
    }
    return engine;
  } finally {
    if (before === undefined) delete process.env.SPARSE_ISA;
    else process.env.SPARSE_ISA = before;
  }
}

try {
  const load = await findLoader();
  for (const isa of ["avx512", "avx2", "plain"]) {
    const name = `native-${isa}`;
    try {
      openIsa(load, isa, undefined).dispose();
      natives.push({ name, open: (options) => openIsa(load, isa, options?.threads) });
    } catch (error) {
      absent.push({ name, reason: reasonOf(error) });
    }
  }
} catch (error) {
  absent.push({ name: "native", reason: reasonOf(error) });
}

for (const backend of TENSORFLOW_BACKENDS) {
  const name = `tensorflow-${backend}`;
  try {
    const { startBackend } = await import("../../src/engine/tensorflow/backends.ts");
    const { TensorflowEngine } = await import("../../src/engine/tensorflow/engine.ts");
    const started = await startBackend(backend);
    tensorflows.push({ name, open: () => new TensorflowEngine(started) });
  } catch (error) {
    absent.push({ name, reason: reasonOf(error) });
  }
}

/** For tests of other things than engines. */
export const fastest: EngineCase = natives[0] ?? reference;
export const engines: readonly EngineCase[] = [reference, ...natives, ...tensorflows];

const PAD = 12345;

/**
 * The engine with activations full of NaN until written and, when `pad` is true, each of them a view inside a wider
 * one whose other channels must stay as they are: that is checked on release.
 */
export function guarded(engine: Engine, pad: boolean): Engine {
  const wholes = new Map<Activation | KeptSet, { whole: Activation; sides: Activation[] }>();
  const own: Partial<Engine> = {
    activation(tokens: TokenShape, width: number): Activation {
      if (!pad) {
        const x = engine.activation(tokens, width);
        engine.fill(x, Number.NaN);
        return x;
      }
      const whole = engine.activation(tokens, width + 5);
      engine.fill(whole, PAD);
      const x = engine.slice(whole, 3, width);
      engine.fill(x, Number.NaN);
      wholes.set(x, { whole, sides: [engine.slice(whole, 0, 3), engine.slice(whole, 3 + width, 2)] });
      return x;
    },
    release(handle: Activation | KeptSet): void {
      const known = wholes.get(handle);
      if (!known) {
        engine.release(handle);
        return;
      }
      wholes.delete(handle);
      for (const side of known.sides) {
        if (engine.read(side).some((value) => value !== PAD)) throw new Error("wrote outside of a view");
      }
      engine.release(known.whole);
    },
  };
  return new Proxy(engine, {
    get(target, key) {
      const value =
        (own as Record<PropertyKey, unknown>)[key] ?? (target as unknown as Record<PropertyKey, unknown>)[key];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
