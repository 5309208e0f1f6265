/** Names of the TensorFlow.js backends, best first; apart from what loads TensorFlow.js. */
export const TENSORFLOW_BACKENDS = ["node-gpu", "node", "wasm", "cpu"] as const;
export type TensorflowBackend = (typeof TENSORFLOW_BACKENDS)[number];
