// The peer wllama, its newest version (llama.cpp's server on Wasm), by text and its own timings.
// Query: model=FILE, threads=N.

import { prompts } from "./tasks.js";

/** @type {any} */
let wllama;

/** @param {Record<string, string>} query */
export async function open(query) {
  const home = "/wllama/esm/";
  const { Wllama } = await import(`${home}index.js`);
  const none = () => {};
  wllama = new Wllama({ default: `${home}wasm/wllama.wasm` },
    { logger: { debug: none, log: none, warn: none, error: none } });
  const file = await (await fetch(query.model)).blob();
  const start = performance.now();
  await wllama.loadModel([file], {
    n_ctx: 1024, n_batch: 512, n_gpu_layers: 0, n_threads: Number(query.threads) });
  const load = performance.now() - start;
  await turn({ prompt: "128", tokens: 16 }); // warm
  return { load, threads: wllama.getNumThreads() };
}

/** @param {import("./tasks.js").Task} task */
export async function turn({ prompt, tokens }) {
  const { text, ids } = (await prompts())[prompt];
  const { timings } = await wllama.createCompletion({
    prompt: text, max_tokens: Math.max(tokens, 2), temperature: 0, top_k: 1, ignore_eos: true,
    cache_prompt: false,
  });
  if (timings.prompt_n !== ids.length) throw new Error(`${timings.prompt_n} tokens of ${ids.length}`);
  return {
    [`prefill${prompt}`]: timings.prompt_ms,
    ...(tokens > 1 ? { decode: timings.predicted_per_token_ms } : {}),
  };
}
