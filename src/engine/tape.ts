/**
 * The tape: runs ops forward, remembers how to run them backward. Ops (engine/ops) call `alloc` for results and
 * `record` for their reverse; `backward` runs the records last to first. No general autodiff: an op knows its inputs.
 *
 * Gradients are keyed by handle. Three cases save memory traffic, each with its own rule:
 * - in place: an op that overwrote its input's handle turns the gradient of the result into that of the input with
 *   `gradInPlace`;
 * - views: the gradient of a slice is a slice of the whole's gradient (`gradOfViews`);
 * - sums: the inputs of y = x + delta need no copy of y's gradient (`shareGrad` for x, `lendGrad` for delta).
 */
import { assert } from "../util/errors.ts";
import type { Activation, Engine, KeptSet, Param, TokenShape } from "./engine.ts";

/** Which gradients a backward pass computes; `kept`: of matrices, those of nonzero entries alone. */
export type Wants = "nothing" | "weights" | "kept" | "inputs";

interface Grad {
  handle: Activation;
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
  private readonly held: (Activation | KeptSet)[] = [];
  private readonly reverse: (() => void)[] = [];
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

  /** A result that lives until `free`. */
  alloc(tokens: TokenShape, width: number): Activation {
    const x = this.engine.activation(tokens, width);
    this.held.push(x);
    return x;
  }

  allocKept(tokens: TokenShape, width: number): KeptSet {
    const x = this.engine.keptSet(tokens, width);
    this.held.push(x);
    return x;
  }

  /** Remembers the reverse of an op just run. */
  record(backward: () => void): void {
    if (this.recording) this.reverse.push(backward);
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
    const { lent } = this.grads.get(y) ?? { lent: false };
    this.grads.set(x, { handle: this.grad(y), written: true, lent, partial: false });
  }

  /** Lets x read the gradient buffer of y as its own; a write to x's gradient goes to a new buffer. */
  lendGrad(x: Activation, y: Activation): void {
    assert(this.canShare(x), "lendGrad: x already has a gradient");
    this.grads.set(x, { handle: this.grad(y), written: true, lent: true, partial: false });
  }

  /** Runs the reverse of every op. The loss op wrote the first gradient. */
  backward(): void {
    for (let i = this.reverse.length - 1; i >= 0; i--) this.reverse[i]!();
  }

  /** Returns all memory to the pool. The tape must not be used afterwards. */
  free(): void {
    for (const x of this.held) this.engine.release(x);
    this.held.length = 0;
    this.reverse.length = 0;
    this.grads.clear();
    this.viewOf.clear();
  }

  private newGrad(x: Activation): Grad {
    const g: Grad = { handle: x, written: false, lent: false, partial: false };
    const place = this.viewOf.get(x);
    if (place) {
      const whole = this.grads.get(place.whole) ?? this.newGrad(place.whole);
      if (whole.lent) this.own(place.whole, whole, true);
      g.handle = this.engine.slice(whole.handle, place.start, x.width);
      g.written = whole.written;
      whole.partial = !whole.written;
    } else {
      g.handle = this.alloc(x.tokens, x.width);
    }
    this.grads.set(x, g);
    return g;
  }

  private own(x: Activation, g: Grad, copy: boolean): void {
    const handle = this.alloc(x.tokens, x.width);
    if (copy) this.engine.copy(g.handle, handle, false);
    g.handle = handle;
    g.lent = false;
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
