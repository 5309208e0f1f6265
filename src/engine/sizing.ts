/**
 * An engine that computes nothing: it counts the bytes that the native engine would hold for the same calls. Running a
 * step on it says what the step needs before anything is allocated, and refuses what native code cannot index.
 *
 * Loss and gradients come out as 0. Methods that need no memory of their own are all the same method, so new ones need no
 * entry here; what the native engine takes for its own use inside of a call does (`scratch`).
 */
import type {
  Activation,
  AdamStep,
  DenseParam,
  Engine,
  KeptSet,
  SparseParam,
  TokenShape,
  UnembedLoss,
} from "./engine.ts";
import { checkActivation, checkEntries, checkMatrix, LANES } from "./limits.ts";

/** What a job needs of memory, in bytes. */
export interface MemoryEstimate {
  /** Weights, their gradients and moments. */
  readonly weights: number;
  /** Activations, their gradients, and buffers. */
  readonly activations: number;
  /** Outside of the engine: values as they are read, and copies for a checkpoint. */
  readonly host: number;
}

// The native layout (native/layout.h).
const BLOCK = 64;
const PANEL = 128;
const FLOAT = 4;
/** Index and value of a nonzero, by rows and by columns. */
const ENTRY = 2 * (2 + FLOAT);
/** Entries that the optimizer looks at in one piece (native/optimizer.cc), and what it remembers of each that may be kept. */
const CHUNK_ENTRIES = 16384;
const CANDIDATE = 2 + FLOAT + 1;

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** Tokens with their padding. */
const padded = ({ batch, length }: TokenShape): number => roundUp(batch * roundUp(length, LANES), BLOCK);

/** How many entries get room where there are `nonzeros` (native/param.cc). */
const room = (p: SparseParam, nonzeros: number): number =>
  Math.min(nonzeros + Math.floor(nonzeros / 8) + 64, size(p.shape));

interface Sized {
  readonly bytes: number;
  readonly key: string;
}

export class SizingEngine {
  /** To use as any other engine. */
  readonly engine: Engine;
  /** Largest sum of what was held. */
  bytes = 0;
  readonly info = { name: "native", isa: "none", threads: 1 } as const;
  private readonly pool = new Map<string, object[]>();
  private readonly sized = new WeakMap<object, Sized>();
  private readonly scratches = new Map<string, number>();
  private readonly nonzeros = new WeakMap<object, number>();
  /** Largest room that entries had, and that gradients of entries alone had. */
  private readonly rooms = new WeakMap<object, number>();
  private readonly keptRooms = new WeakMap<object, number>();

  constructor() {
    this.engine = new Proxy(this, {
      get: (own, method) => own[method as keyof SizingEngine] ?? ((): number => 0),
    }) as unknown as Engine;
  }

  memoryBytes(): number {
    return this.bytes;
  }

  activation(tokens: TokenShape, width: number): Activation {
    checkActivation(tokens, width);
    return this.take({ tokens, width }, { key: `x ${shapeKey(tokens, width)}`, bytes: padded(tokens) * width * FLOAT });
  }

  keptSet(tokens: TokenShape, width: number): KeptSet {
    const bytes = (padded(tokens) / BLOCK) * width * 8;
    return this.take({ tokens, width }, { key: `kept ${shapeKey(tokens, width)}`, bytes });
  }

  slice(x: Activation, _start: number, width: number): Activation {
    return { tokens: x.tokens, width };
  }

  release(handle: Activation | KeptSet): void {
    const { key } = this.sized.get(handle)!;
    const free = this.pool.get(key);
    if (free) free.push(handle);
    else this.pool.set(key, [handle]);
  }

  /** Value, gradient and two moments. */
  dense(name: string, shape: readonly number[]): DenseParam {
    checkEntries(name, shape);
    this.bytes += 4 * roundUp(size(shape), LANES) * FLOAT;
    return { kind: "dense", name, shape };
  }

  /** Gradient and two moments; the nonzero values come with `writeParam`. */
  sparse(name: string, shape: readonly [number, number], protect: "row" | "col" | null): SparseParam {
    checkMatrix(name, shape);
    const [rows, cols] = protect === "col" ? [shape[1], shape[0]] : shape;
    const whole = Math.floor((cols - 1) / PANEL) * PANEL;
    this.bytes += 3 * rows * (whole + roundUp(cols - whole, LANES)) * FLOAT + (rows + cols + 2) * FLOAT;
    return { kind: "sparse", name, shape };
  }

  /** Without values all entries count as nonzero, as initial values are. */
  writeParam(p: DenseParam | SparseParam, field: string, values: Float32Array): void {
    if (p.kind !== "sparse" || field !== "value") return;
    const nonzeros = values.length === 0 ? size(p.shape) : values.reduce((n, x) => n + (x === 0 ? 0 : 1), 0);
    this.nonzeros.set(p, nonzeros);
    this.grow(this.rooms, p, ENTRY);
  }

  adam(p: DenseParam | SparseParam, { keep }: AdamStep): void {
    if (p.kind === "dense") return;
    this.nonzeros.set(p, Math.min(keep ?? Infinity, size(p.shape)));
    this.scratch("candidates", (size(p.shape) + CHUNK_ENTRIES) * CANDIDATE);
  }

  embedBackward(dout: Activation): void {
    this.scratch("dense", padded(dout.tokens) * roundUp(dout.width, LANES) * FLOAT);
  }

  embedBackwardKept(_dout: Activation, _ids: Int32Array, table: SparseParam): void {
    this.grow(this.keptRooms, table, FLOAT);
  }

  linearBackwardWeightKept(_x: Activation, _dout: Activation, w: SparseParam): void {
    this.grow(this.keptRooms, w, FLOAT);
  }

  linearBackwardWeight(x: Activation, dout: Activation): void {
    const tokens = padded(x.tokens);
    this.scratch("panels", tokens * roundUp(Math.max(x.width, dout.width), LANES) * FLOAT);
    this.scratch("lists", tokens * Math.max(x.width, dout.width) * (2 + FLOAT));
  }

  unembedLoss({ x, unembed, dlogits }: UnembedLoss): number {
    if (!dlogits) this.scratch("dense", padded(x.tokens) * unembed.shape[0] * FLOAT);
    return 0;
  }

  pairLoss(_logits: Activation, right: Int32Array): Float32Array {
    return new Float32Array(right.length);
  }

  read(): Float32Array {
    return new Float32Array(0);
  }

  readParam(): Float32Array {
    return new Float32Array(0);
  }

  private take<T extends object>(fresh: T, sized: Sized): T {
    const pooled = this.pool.get(sized.key)?.pop();
    if (pooled) return pooled as T;
    this.sized.set(fresh, sized);
    this.bytes += sized.bytes;
    return fresh;
  }

  /** Room for the nonzero entries that a matrix has now. */
  private grow(rooms: WeakMap<object, number>, p: SparseParam, entryBytes: number): void {
    const before = rooms.get(p) ?? 0;
    const wanted = Math.max(before, room(p, this.nonzeros.get(p) ?? 0));
    this.bytes += (wanted - before) * entryBytes;
    rooms.set(p, wanted);
  }

  /** Buffers that grow and are shared by all calls of a kind. */
  private scratch(name: string, bytes: number): void {
    const before = this.scratches.get(name) ?? 0;
    if (bytes <= before) return;
    this.scratches.set(name, bytes);
    this.bytes += bytes - before;
  }
}

function shapeKey({ batch, length }: TokenShape, width: number): string {
  return `${batch} ${length} ${width}`;
}
