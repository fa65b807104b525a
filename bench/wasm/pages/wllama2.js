// The peer wllama 2.3.1 (llama.cpp with its SIMD kernels for Wasm), by its low-level functions.
// Query: model=FILE, threads=N.

import { generation, prompts } from "./tasks.js";

/** @type {any} */
let wllama;

/** @param {Record<string, string>} query */
export async function open(query) {
  const home = "/wllama2/esm/";
  const { Wllama } = await import(`${home}index.js`);
  const none = () => {};
  wllama = new Wllama({
    "single-thread/wllama.wasm": `${home}single-thread/wllama.wasm`,
    "multi-thread/wllama.wasm": `${home}multi-thread/wllama.wasm`,
  }, { logger: { debug: none, log: none, warn: none, error: none } });
  const file = await (await fetch(query.model)).blob();
  const start = performance.now();
  await wllama.loadModel([file], { n_ctx: 1024, n_batch: 512, n_threads: Number(query.threads) });
  const load = performance.now() - start;
  await generate((await prompts())[128], 16); // warm
  return { load, threads: wllama.getNumThreads() };
}

/** @param {import("./tasks.js").Prompt} prompt @param {number} count */
async function generate({ ids }, count) {
  await wllama.kvClear();
  await wllama.samplingInit({ temp: 0 });
  const start = performance.now();
  await wllama.decode(ids, {});
  let { token } = await wllama.samplingSample();
  const first = performance.now();
  const made = [token];
  for (let i = 1; i < count; i++) {
    await wllama.samplingAccept([token]);
    await wllama.decode([token], {});
    ({ token } = await wllama.samplingSample());
    made.push(token);
  }
  return { prefillMs: first - start, decodeMs: performance.now() - first, made };
}

/** @param {import("./tasks.js").Task} task */
export const turn = (task) => generation(task, generate);
