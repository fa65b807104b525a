// The engine of peak.py: a function of peak.wasm on this worker and, at the same time, on others.
// Query: threads=N.

import { bytesOf } from "./tasks.js";

const PAGE = 65536;
const LEAST_MS = 250;

/** @typedef {{name: string, nbytes: number}} Task */

/** @type {any} */
let code;
/** @type {Worker[]} */
let others = [];

/** Units a millisecond on this thread: bytes, or multiply-adds. @param {Task} task */
export async function alone({ name, nbytes }) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(nbytes / PAGE) + 34 });
  const { instance } = await WebAssembly.instantiate(code ?? await bytesOf("peak.wasm"), { env: { memory } });
  const { [name]: go, __heap_base: base } = /** @type {any} */ (instance.exports);
  const at = (base.value + 255) & ~255;
  new Uint8Array(memory.buffer, at, nbytes + 64).fill(1);
  const perRound = name === "read" ? nbytes : nbytes / 16 * (name === "madd" ? 4 : 16) * 4;
  let rounds = 1;
  let took = 0;
  for (;;) {
    const start = performance.now();
    go(at, nbytes, rounds);
    took = performance.now() - start;
    if (took >= LEAST_MS) return rounds * perRound / took;
    rounds = Math.ceil(rounds * Math.min(100, 1.3 * LEAST_MS / Math.max(took, 0.05)));
  }
}

/** @param {Record<string, string>} query */
export async function open(query) {
  code = await bytesOf("peak.wasm");
  others = Array.from({ length: Number(query.threads) - 1 },
    () => new Worker("worker.js?engine=peak", { type: "module" }));
  return {};
}

/** @param {Task} task */
export async function turn(task) {
  const apart = others.map((worker) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => data.error ? reject(new Error(data.error)) : resolve(data.value);
    worker.postMessage({ id: 1, method: "alone", argument: task });
  }));
  const rates = await Promise.all([alone(task), ...apart]);
  return { rate: rates.reduce((sum, rate) => sum + rate, 0) };
}
