/**
 * One parameter tau a node, kept within [-1, 1], and the Adam step that moves it: gradient clipping, weight decay, linear
 * warmup and decay of the learning rate (Gao et al. 2025, A.5).
 */

export interface TauConfig {
  readonly steps: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient; 0 leaves it. */
  readonly gradClip: number;
  readonly warmupFrac: number;
}

export class Tau {
  /** One entry a node, flat site order. */
  readonly values: Float32Array;
  private readonly config: TauConfig;
  private readonly m: Float32Array;
  private readonly v: Float32Array;
  private i = 0;

  constructor(values: Float32Array, config: TauConfig) {
    this.values = values.map(clamp);
    this.config = config;
    this.m = new Float32Array(values.length);
    this.v = new Float32Array(values.length);
  }

  step(gradient: Float32Array): { lr: number; gradNorm: number } {
    const c = this.config;
    let squares = 0;
    for (const g of gradient) squares += g * g;
    const gradNorm = Math.sqrt(squares);
    const clip = c.gradClip > 0 ? Math.min(1, c.gradClip / (gradNorm + 1e-6)) : 1;
    const warm = Math.floor(c.warmupFrac * c.steps);
    const lr = c.lr * (this.i < warm ? this.i / warm : 1 - (this.i - warm) / (c.steps - warm));
    const c1 = 1 - c.beta1 ** (this.i + 1);
    const c2 = 1 - c.beta2 ** (this.i + 1);
    for (let n = 0; n < gradient.length; n++) {
      const g = gradient[n]! * clip;
      const m = c.beta1 * this.m[n]! + (1 - c.beta1) * g;
      const v = c.beta2 * this.v[n]! + (1 - c.beta2) * g * g;
      this.m[n] = m;
      this.v[n] = v;
      const decayed = this.values[n]! * (1 - lr * c.weightDecay);
      this.values[n] = clamp(decayed - (lr * (m / c1)) / (Math.sqrt(v / c2) + c.eps));
    }
    this.i++;
    return { lr, gradNorm };
  }
}

function clamp(x: number): number {
  return Math.max(-1, Math.min(1, x));
}
