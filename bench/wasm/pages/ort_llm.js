// The peer ONNX Runtime Web on Wasm: SmolLM2 with its cache as inputs and outputs, greedy.
// Query: model=FILE, threads=N.

import { runtime } from "./ort.js";
import { bytesOf, generation, prompts } from "./tasks.js";

const { layers, heads, head, vocab } = { layers: 30, heads: 3, head: 64, vocab: 49152 };

/** @type {any} */
let ort;
/** @type {any} */
let session;

/** @param {Record<string, string>} query */
export async function open(query) {
  ort = await runtime(query);
  const model = await bytesOf(query.model);
  const start = performance.now();
  session = await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 });
  const load = performance.now() - start;
  const prompt = (await prompts())[128];
  await generate(prompt, 8); // warm
  return { load, threads: ort.env.wasm.numThreads };
}

/** @param {number[]} values */
const integers = (values) =>
  new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);

/** @returns {Record<string, any>} */
const empty = () => Object.fromEntries(Array.from({ length: 2 * layers }, (_, i) => [
  `past_key_values.${i >> 1}.${i % 2 ? "value" : "key"}`,
  new ort.Tensor("float32", new Float32Array(0), [1, heads, 0, head])]));

/** The most likely token of the last row. @param {Float32Array} logits */
function best(logits) {
  const row = logits.subarray(logits.length - vocab);
  let at = 0;
  for (let i = 1; i < vocab; i++) if (row[i] > row[at]) at = i;
  return at;
}

/** @param {number[]} ids @param {Record<string, any>} past @param {number} total */
async function step(ids, past, total) {
  const made = await session.run({
    input_ids: integers(ids), attention_mask: integers(Array(total).fill(1)), ...past });
  const token = best(made.logits.data);
  delete made.logits;
  const renamed = Object.entries(made).map(([k, v]) => [k.replace("present", "past_key_values"), v]);
  return { token, past: Object.fromEntries(renamed) };
}

/** @param {import("./tasks.js").Prompt} prompt @param {number} count */
async function generate({ ids }, count) {
  const start = performance.now();
  let { token, past } = await step(ids, empty(), ids.length);
  const first = performance.now();
  const made = [token];
  for (let i = 1; i < count; i++) {
    ({ token, past } = await step([token], past, ids.length + i));
    made.push(token);
  }
  return { prefillMs: first - start, decodeMs: performance.now() - first, made };
}

/** @param {import("./tasks.js").Task} task */
export const turn = (task) => generation(task, generate);
