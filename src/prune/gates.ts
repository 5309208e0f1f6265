/**
 * Learned gates: which nodes a small circuit keeps, by gradient descent on what is wanted, the task loss and the number of
 * edges. Each gate is hard concrete (Louizos, Welling and Kingma 2018): random, mostly exactly 0 or 1, with a gradient in
 * between. The price of an edge follows the loss: it rises while the loss is below `aim` and falls while it is above, so
 * that no coefficient has to be tuned to a task.
 *
 * Gates begin by the nodes' attributions: if all began alike, Adam would close all that are not worth their price at
 * once, before the gradients could tell what the others then have to do.
 */
import type { PairBatch } from "../data/pairs.ts";
import { Rng } from "../util/rng.ts";
import type { MaskGradient } from "./masked-model.ts";
import { Tau, type TauConfig } from "./tau.ts";

export interface GateConfig extends TauConfig {
  /** Task loss at which the price of an edge stays, as a share of the target. */
  readonly aim: number;
  /** What an average gate costs at first, in nats, and at least where the loss is slow to follow: of several conditions. */
  readonly gatePrice: number;
  readonly gatePriceLeast: number;
  /** The relative change of an edge's price at a step, and its highest. */
  readonly priceStep: number;
  readonly priceMost: number;
  /** Price of a node in edges. */
  readonly node: number;
  /** Log-odds of a gate at tau = 1, its temperature, and how far it reaches beyond 0 and 1 before it is cut there. */
  readonly odds: number;
  readonly temperature: number;
  readonly stretch: number;
  readonly initNoise: number;
}

export const GATES: GateConfig = {
  steps: 300,
  lr: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 1e-3,
  gradClip: 1,
  warmupFrac: 0.05,
  aim: 0.5,
  gatePrice: 3.5e-3,
  gatePriceLeast: 3.5e-4,
  priceStep: 0.03,
  priceMost: 1,
  node: 0.5,
  odds: 6,
  temperature: 2 / 3,
  stretch: 0.1,
  initNoise: 0.02,
};

/** All weights of the model between nodes, by the flat indices of their ends. */
export interface EdgeList {
  readonly sources: Int32Array;
  readonly targets: Int32Array;
}

/** Share of the last loss in the running mean that the price follows. */
const RECENT = 0.2;

export class Gates {
  private readonly model: MaskGradient;
  private readonly edges: EdgeList;
  private readonly config: GateConfig;
  private readonly aim: number;
  private readonly rng: Rng;
  private readonly tau: Tau;
  private readonly mask: Float32Array;
  private readonly slope: Float32Array;
  private price: number;
  private readonly priceLeast: number;
  private meanLoss: number | undefined;

  /** `order`: all nodes, most important first. */
  constructor(
    model: MaskGradient,
    edges: EdgeList,
    order: Int32Array,
    { target, seed, config = GATES }: { target: number; seed: number; config?: GateConfig },
  ) {
    this.model = model;
    this.edges = edges;
    this.config = config;
    this.aim = config.aim * target;
    // Where nodes have hundreds of edges, a price of an edge that suits a sparse model would close all gates at once.
    const average = config.node + edges.sources.length / model.nodes;
    this.price = config.gatePrice / average;
    this.priceLeast = config.gatePriceLeast / average;
    this.rng = Rng.of(seed, "gates");
    const tau = new Float32Array(model.nodes);
    for (const [i, n] of order.entries()) tau[n] = 0.1 + 1 - i / order.length;
    this.tau = new Tau(
      tau.map((t) => t + config.initNoise * this.rng.normal()),
      config,
    );
    this.mask = new Float32Array(model.nodes);
    this.slope = new Float32Array(model.nodes);
  }

  /** The nodes whose gates are more open than closed. */
  kept(): Uint8Array {
    return Uint8Array.from(this.tau.values, (t) => (t > 0 ? 1 : 0));
  }

  /** One step on a batch of pairs; the loss with the gates as they were drawn. */
  step(batch: PairBatch): number {
    this.draw();
    const { loss, gradient, worst } = this.model.gradient(batch, this.mask);
    const cost = this.costGradient();
    const { odds, temperature, stretch } = this.config;
    // A gate is open at all with probability sigmoid(log odds + threshold).
    const threshold = -temperature * Math.log(stretch / (1 + stretch));
    for (let n = 0; n < gradient.length; n++) {
      const p = sigmoid(odds * this.tau.values[n]! + threshold);
      gradient[n] = gradient[n]! * this.slope[n]! + this.price * cost[n]! * p * (1 - p) * odds;
    }
    this.tau.step(gradient);
    // Where conditions are averaged, all of them are to be met.
    if (worst === undefined) this.follow(loss, 0);
    else this.follow(worst, this.priceLeast);
    return loss;
  }

  private follow(loss: number, least: number): void {
    const { priceStep, priceMost } = this.config;
    this.meanLoss = this.meanLoss === undefined ? loss : (1 - RECENT) * this.meanLoss + RECENT * loss;
    if (this.meanLoss < this.aim) this.price = Math.min(priceMost, this.price * (1 + priceStep));
    else this.price = Math.max(least, this.price / (1 + 2 * priceStep));
  }

  /** Draws every gate, and its slope with respect to tau. */
  private draw(): void {
    const { odds, temperature, stretch } = this.config;
    const reach = 1 + 2 * stretch;
    for (let n = 0; n < this.mask.length; n++) {
      const u = Math.min(1 - 1e-6, Math.max(1e-6, this.rng.float()));
      const z = sigmoid((Math.log(u / (1 - u)) + odds * this.tau.values[n]!) / temperature);
      const gate = z * reach - stretch;
      this.mask[n] = Math.min(1, Math.max(0, gate));
      this.slope[n] = gate > 0 && gate < 1 ? (reach * z * (1 - z) * odds) / temperature : 0;
    }
  }

  /** What opening a gate costs, in edges: those to open nodes, each shared by its two ends, and the node itself. */
  private costGradient(): Float32Array {
    const { sources, targets } = this.edges;
    const cost = new Float32Array(this.mask.length).fill(this.config.node);
    for (let e = 0; e < sources.length; e++) {
      const [a, b] = [sources[e]!, targets[e]!];
      cost[a]! += 0.5 * this.mask[b]!;
      cost[b]! += 0.5 * this.mask[a]!;
    }
    return cost;
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
