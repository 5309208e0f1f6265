/** Memory of the reference engine: activations and kept sets from pools keyed by size, and the bytes held. */
import { assert } from "../../util/errors.ts";
import type { Activation, KeptSet, TokenShape } from "../engine.ts";
import { Bits, Matrix, matrix } from "./storage.ts";

export class Memory {
  private readonly floats = new Map<number, Float32Array[]>();
  private readonly bytes = new Map<number, Uint8Array[]>();
  private readonly poison: boolean;
  private held = 0;

  /** `poison` fills what it hands out with NaN (kept sets with ones), so that reading before writing shows. */
  constructor(poison: boolean) {
    this.poison = poison;
  }

  activation(tokens: TokenShape, width: number): Matrix {
    const size = tokens.batch * tokens.length * width;
    assert(Number.isInteger(size) && size > 0, `activation of shape [${tokens.batch}, ${tokens.length}, ${width}]`);
    let data = this.floats.get(size)?.pop();
    if (!data) {
      data = new Float32Array(size);
      this.held += data.byteLength;
    }
    if (this.poison) data.fill(Number.NaN);
    return new Matrix(tokens, width, data, null, 0);
  }

  keptSet(tokens: TokenShape, width: number): Bits {
    const size = tokens.batch * tokens.length * width;
    let data = this.bytes.get(size)?.pop();
    if (!data) {
      data = new Uint8Array(size);
      this.held += size;
    }
    if (this.poison) data.fill(1);
    return new Bits(tokens, width, data);
  }

  slice(x: Activation, start: number, width: number): Matrix {
    const whole = matrix(x);
    assert(
      start >= 0 && width > 0 && start + width <= whole.width,
      `channels ${start}..${start + width} of ${whole.width}`,
    );
    return new Matrix(whole.tokens, width, whole.data, whole, start);
  }

  release(handle: Activation | KeptSet): void {
    assert(handle instanceof Matrix || handle instanceof Bits, "released a handle of another engine");
    assert(handle.live, "released twice");
    if (handle instanceof Matrix) {
      assert(handle.whole === null, "released a view");
      push(this.floats, handle.data);
    } else {
      push(this.bytes, handle.data);
    }
    handle.live = false;
  }

  /** Used and pooled. */
  size(): number {
    return this.held;
  }

  /** Forgets the pools. */
  clear(): void {
    this.floats.clear();
    this.bytes.clear();
    this.held = 0;
  }
}

function push<A extends Float32Array | Uint8Array>(pool: Map<number, A[]>, data: A): void {
  const list = pool.get(data.length);
  if (list) list.push(data);
  else pool.set(data.length, [data]);
}
