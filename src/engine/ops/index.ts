/** The differentiable ops, by name. Each runs on a tape's engine and records its reverse; no computation here. */
export { absTopK } from "./abs-topk.ts";
export { addRow, addRows } from "./add-rows.ts";
export { attention } from "./attention.ts";
export { add, concat, residualAdd, views } from "./copy.ts";
export { embed } from "./embed.ts";
export { gatherTokens } from "./gather-tokens.ts";
export { linear } from "./linear.ts";
export { mask } from "./mask.ts";
export { nonlinearity } from "./nonlinearity.ts";
export { norm } from "./norm.ts";
export { pairLoss } from "./pair-loss.ts";
export { patch } from "./patch.ts";
export { positions } from "./positions.ts";
export { unembedLoss } from "./unembed.ts";
