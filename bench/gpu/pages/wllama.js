// The peer wllama (llama.cpp): the same GGUF and prompts; its own timings.
// Query: model=FILE, runs=N, tokens=N, gpu=0 for the CPU, threads=N, small=1.

import { query, report, round, say, summary } from "./report.js";

const RUNS = Number(query.runs ?? 5);
const TOKENS = Number(query.tokens ?? 128);
const TELLING = /webgpu|backend|buffer size|offload/i;

report(async () => {
  const { Wllama } = await import(/** @type {string} */ ("./wllama/index.min.js"));
  const prompts = await (await fetch("prompts.json")).json();
  /** @type {string[]} */
  const notes = [];
  const note = (/** @type {any[]} */ ...words) => notes.push(words.join(" "));
  const wllama = new Wllama({ default: "/wllama/wasm/wllama.wasm" },
    { logger: { debug: note, log: note, warn: note, error: note } });
  const file = await (await fetch(`models/${query.model}`)).blob();
  const start = performance.now();
  await wllama.loadModel([file], {
    n_ctx: 2048, n_batch: 512, n_gpu_layers: query.gpu === "0" ? 0 : 999,
    n_threads: Number(query.threads ?? 4) });
  const loaded = performance.now() - start;
  await say(`wllama loaded in ${loaded.toFixed(0)} ms`);
  /** @param {string} prompt @param {number} count */
  const complete = async (prompt, count) => (await wllama.createCompletion({
    prompt, max_tokens: count, temperature: 0, top_k: 1, ignore_eos: true, cache_prompt: false,
  })).timings;

  /** @type {Record<string, object>} */
  const prefill = {};
  for (const n of query.small ? [32] : [128, 512]) {
    if (!query.small) await complete(prompts[n].text, 2);
    const timings = [];
    for (let i = 0; i < RUNS; i++) timings.push(await complete(prompts[n].text, 2));
    const rates = timings.map((t) => t.prompt_per_second);
    prefill[n] = { tokens: timings[0].prompt_n, tokens_per_s: round(summary(rates).median) };
  }
  const rates = [];
  for (let i = 0; i < RUNS; i++) {
    const timings = await complete(prompts[query.small ? 32 : 128].text, TOKENS);
    rates.push(timings.predicted_per_second);
    if (!i) await say(JSON.stringify(timings));
  }
  return {
    engine: "wllama 3.8.1", webgpu: wllama.isSupportWebGPU(), load_ms: round(loaded), prefill,
    decode: summary(rates), threads: wllama.getNumThreads(),
    log: notes.filter((line) => TELLING.test(line)).slice(0, 25),
  };
});
