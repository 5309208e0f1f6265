/**
 * The tape: runs ops forward, remembers how to run them backward. Ops (engine/ops) call `alloc` for results and
 * `record` for their reverse; `backward` runs the records last to first. No general autodiff: an op knows its inputs.
 *
 * Gradients are keyed by handle. Three cases save memory traffic, each with its own rule:
 * - in place: an op that overwrote its input's handle turns the gradient of the result into that of the input with
 *   `gradInPlace`;
 * - views: the gradient of a slice is a slice of the whole's gradient (`gradOfViews`);
 * - sums: the inputs of y = x + delta need no copy of y's gradient (`shareGrad` for x, `lendGrad` for delta).
 *
 * Memory: once the reverse of an op has run, nothing needs its results or their gradients any more; they return to the
 * pool at once, while they are in the cache, and become the next gradients. `keep` excepts a value.
 */
import { assert } from "../util/errors.ts";
import type { Activation, Engine, KeptSet, Param, TokenShape } from "./engine.ts";

/** Which gradients a backward pass computes; `kept`: of matrices, those of nonzero entries alone. */
export type Wants = "nothing" | "weights" | "kept" | "inputs";

interface Buffer {
  readonly handle: Activation;
  /** Values whose gradient it holds, or will. */
  users: number;
}

interface Grad {
  handle: Activation;
  /** Null for the gradient of a view, whose place is in that of the whole. */
  buffer: Buffer | null;
  /** False until the first write, which then replaces. */
  written: boolean;
  /** The buffer belongs to another gradient: read only, the first write moves to a buffer of its own. */
  lent: boolean;
  /** Some views wrote their part and the rest is not there yet. */
  partial: boolean;
}

interface View {
  readonly view: Activation;
  readonly start: number;
}

export class Tape {
  readonly engine: Engine;
  /** `nothing`: forward only. `inputs`: gradients of activations and masks. `weights` and `kept`: of parameters too. */
  readonly wants: Wants;
  private readonly frozen: ReadonlySet<Param>;
  /** What each op allocated since the one before it was recorded. */
  private readonly reverse: { readonly backward: () => void; readonly results: (Activation | KeptSet)[] }[] = [];
  private results: (Activation | KeptSet)[] = [];
  private readonly kept = new Set<Activation>();
  private readonly survivors: Activation[] = [];
  /** Gradient buffers without users; still readable until the reverse that dropped them is over. */
  private readonly unused: Activation[] = [];
  private readonly grads = new Map<Activation, Grad>();
  private readonly viewOf = new Map<Activation, { whole: Activation; start: number }>();

  /** `frozen` parameters get no gradient even when `wants` is `weights` or `kept`. */
  constructor(engine: Engine, wants: Wants, frozen: Iterable<Param> = []) {
    this.engine = engine;
    this.wants = wants;
    this.frozen = new Set(frozen);
  }

  get recording(): boolean {
    return this.wants !== "nothing";
  }

  /** Does the backward pass write a gradient of this parameter? */
  trains(p: Param): boolean {
    return (this.wants === "weights" || this.keptOnly) && !this.frozen.has(p);
  }

  /** Is the gradient of a matrix wanted at its nonzero entries alone? */
  get keptOnly(): boolean {
    return this.wants === "kept";
  }

  /** A result: lives until the reverse of the op recorded next has run, or until `free`. */
  alloc(tokens: TokenShape, width: number): Activation {
    const x = this.engine.activation(tokens, width);
    this.results.push(x);
    return x;
  }

  allocKept(tokens: TokenShape, width: number): KeptSet {
    const x = this.engine.keptSet(tokens, width);
    this.results.push(x);
    return x;
  }

  /** Keeps x, and its gradient if it gets one, until `free`. */
  keep(x: Activation): Activation {
    this.kept.add(this.viewOf.get(x)?.whole ?? x);
    return x;
  }

  /** Remembers the reverse of an op just run. */
  record(backward: () => void): void {
    if (!this.recording) return;
    this.reverse.push({ backward, results: this.results });
    this.results = [];
  }

  /** Does a gradient of x exist? An op whose result has none was not used by the loss. */
  hasGrad(x: Activation): boolean {
    return this.grads.get(x)?.written === true;
  }

  /** The gradient of x, complete once every op that used x has run backward. Read only: it may be lent. */
  grad(x: Activation): Activation {
    const g = this.grads.get(x);
    assert(g?.written, "gradient read before it was written");
    return g.handle;
  }

  /** Where to write a gradient of x, and whether to add to what is there. Marks it as written. */
  gradTarget(x: Activation): { dx: Activation; add: boolean } {
    const g = this.grads.get(x) ?? this.newGrad(x);
    assert(!g.partial, "gradient of a whole written while its views are being written");
    if (g.lent) this.own(x, g, true);
    const add = g.written;
    g.written = true;
    return { dx: g.handle, add };
  }

  /** For an op that overwrote x: its reverse reads `dout` and replaces `dx`, which may be the same buffer. */
  gradInPlace(x: Activation): { dout: Activation; dx: Activation } {
    const dout = this.grad(x);
    const g = this.grads.get(x)!;
    if (g.lent) this.own(x, g, false);
    return { dout, dx: g.handle };
  }

  /**
   * Makes views of `whole` share its gradient: views[i] is the slice that starts at starts[i]. Call it in the forward
   * pass, before any op uses the views. The views must not overlap, and between this call and the last use of a view
   * no op may use `whole` itself.
   */
  gradOfViews(whole: Activation, views: readonly View[]): void {
    if (!this.recording) return;
    for (const { view, start } of views) this.viewOf.set(view, { whole, start });
    this.record(() => this.joinViews(whole, views));
  }

  /** May x take over or borrow another gradient's buffer? Not when it has one, nor when its place is in a whole. */
  canShare(x: Activation): boolean {
    return !this.grads.has(x) && !this.viewOf.has(x);
  }

  /** Lets x take over the gradient buffer of y (y = x + something, y's gradient not needed separately any more). */
  shareGrad(x: Activation, y: Activation): void {
    assert(this.canShare(x), "shareGrad: x already has a gradient");
    this.borrow(x, y, this.grads.get(y)?.lent ?? false);
  }

  /** Lets x read the gradient buffer of y as its own; a write to x's gradient goes to a new buffer. */
  lendGrad(x: Activation, y: Activation): void {
    assert(this.canShare(x), "lendGrad: x already has a gradient");
    this.borrow(x, y, true);
  }

  /** Runs the reverse of every op. The loss op wrote the first gradient. */
  backward(): void {
    for (let op = this.reverse.pop(); op; op = this.reverse.pop()) {
      op.backward();
      this.recycle(this.results);
      this.recycle(op.results);
    }
  }

  /** Returns all memory to the pool. The tape must not be used afterwards. */
  free(): void {
    this.kept.clear();
    for (const { results } of this.reverse) this.recycle(results);
    this.reverse.length = 0;
    this.recycle(this.survivors);
    for (const x of this.grads.keys()) this.dropGrad(x);
    this.recycle(this.results);
    this.viewOf.clear();
  }

  private newGrad(x: Activation): Grad {
    const place = this.viewOf.get(x);
    if (place) {
      const whole = this.grads.get(place.whole) ?? this.newGrad(place.whole);
      if (whole.lent) this.own(place.whole, whole, true);
      const handle = this.engine.slice(whole.handle, place.start, x.width);
      whole.partial = !whole.written;
      return this.setGrad(x, { handle, buffer: null, written: whole.written, lent: false, partial: false });
    }
    const handle = this.engine.activation(x.tokens, x.width);
    return this.setGrad(x, { handle, buffer: { handle, users: 1 }, written: false, lent: false, partial: false });
  }

  private setGrad(x: Activation, g: Grad): Grad {
    this.grads.set(x, g);
    return g;
  }

  private borrow(x: Activation, y: Activation, lent: boolean): void {
    const handle = this.grad(y);
    const { buffer } = this.grads.get(y)!;
    assert(buffer, "the gradient of a view was shared");
    buffer.users++;
    this.setGrad(x, { handle, buffer, written: true, lent, partial: false });
  }

  private own(x: Activation, g: Grad, copy: boolean): void {
    const handle = this.engine.activation(x.tokens, x.width);
    if (copy) this.engine.copy(g.handle, handle, false);
    this.leave(g.buffer);
    g.buffer = { handle, users: 1 };
    g.handle = handle;
    g.lent = false;
  }

  private leave(buffer: Buffer | null): void {
    if (buffer && --buffer.users === 0) this.unused.push(buffer.handle);
  }

  private dropGrad(x: Activation): void {
    this.leave(this.grads.get(x)?.buffer ?? null);
    this.grads.delete(x);
  }

  private recycle(results: (Activation | KeptSet)[]): void {
    for (const x of results) {
      if (this.kept.has(x)) {
        this.survivors.push(x);
      } else {
        this.dropGrad(x);
        this.engine.release(x);
      }
    }
    results.length = 0;
    for (const x of this.unused) this.engine.release(x);
    this.unused.length = 0;
  }

  /** The views have run backward: parts that got no gradient are zero, and the whole's gradient is there. */
  private joinViews(whole: Activation, views: readonly View[]): void {
    const g = this.grads.get(whole);
    if (!g?.partial) return;
    for (const { view } of views) {
      if (!this.hasGrad(view)) this.engine.fill(this.gradTarget(view).dx, 0);
    }
    g.partial = false;
    g.written = true;
  }
}
