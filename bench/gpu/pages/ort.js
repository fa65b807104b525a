// The peer ONNX Runtime Web, WebGPU: 4-bit ONNX of the same model, cache on the GPU, greedy.
// Query: build=jspi|webgpu (asyncify), precision=f32|f16 of activations, runs=N, tokens=N, small=1.
// Where the weights' file is missing, its bytes (model.onnx.nbytes says how many) are made up.

import { madeUp, query, report, round, say, summary } from "./report.js";

const RUNS = Number(query.runs ?? 5);
const TOKENS = Number(query.tokens ?? 128);
const WARM = query.small ? 0 : 2;
const { layers, heads, head, vocab } = { layers: 30, heads: 3, head: 64, vocab: 49152 };

report(async () => {
  const ort = await import(`./ort/ort.${query.build ?? "jspi"}.min.mjs`);
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.logLevel = "error";
  const prompts = await (await fetch("prompts.json")).json();
  const half16 = query.precision === "f16";
  const get = (/** @type {string} */ name) => fetch(`onnx/${query.precision}/${name}`);
  const model = new Uint8Array(await (await get("model.onnx")).arrayBuffer());
  const stored = await get("model.onnx.data");
  const data = stored.ok ? new Uint8Array(await stored.arrayBuffer())
    : madeUp(Number(await (await get("model.onnx.nbytes")).text()));
  const start = performance.now();
  /** @type {Record<string, string>} */
  const places = { logits: "cpu" };
  for (let i = 0; i < layers; i++) for (const k of ["key", "value"]) places[`present.${i}.${k}`] = "gpu-buffer";
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["webgpu"], graphOptimizationLevel: "all", logSeverityLevel: 3,
    externalData: [{ path: "model.onnx.data", data }], preferredOutputLocation: places });
  const loaded = performance.now() - start;
  await say(`ort loaded in ${loaded.toFixed(0)} ms`);

  const kind = half16 ? "float16" : "float32";
  const integers = (/** @type {number[]} */ values) =>
    new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const empty = () => {
    /** @type {Record<string, any>} */
    const past = {};
    // newer browsers have a type of their own for float16
    const Half = Reflect.get(globalThis, "Float16Array") ?? Uint16Array;
    const none = half16 ? new Half(0) : new Float32Array(0);
    for (let i = 0; i < layers; i++) for (const k of ["key", "value"])
      past[`past_key_values.${i}.${k}`] = new ort.Tensor(kind, none, [1, heads, 0, head]);
    return past;
  };
  const half = (/** @type {number} */ bits) => // monotonic in the value, which is all that is needed
    bits & 0x8000 ? -(bits & 0x7fff) : bits;
  const best = (/** @type {any} */ logits) => {
    const values = logits.data.subarray(logits.data.length - vocab);
    const read = values instanceof Uint16Array ? half : (/** @type {number} */ x) => x;
    let at = 0;
    for (let i = 1; i < vocab; i++) if (read(values[i]) > read(values[at])) at = i;
    return at;
  };
  /** @param {number[]} ids @param {Record<string, any>} past @param {number} total */
  const step = async (ids, past, total) => {
    const made = await session.run({
      input_ids: integers(ids), attention_mask: integers(Array(total).fill(1)), ...past });
    const token = best(made.logits);
    /** @type {Record<string, any>} */
    const next = {};
    for (const name of session.outputNames) if (name !== "logits") next[name.replace("present", "past_key_values")] = made[name];
    for (const tensor of Object.values(past)) tensor.dispose();
    return { token, past: next };
  };
  /** @param {number[]} ids @param {number} count */
  const generate = async (ids, count) => {
    const from = performance.now();
    let { token, past } = await step(ids, empty(), ids.length);
    const first = performance.now();
    const made = [token];
    for (let i = 1; i < count; i++) {
      ({ token, past } = await step([token], past, ids.length + i));
      made.push(token);
    }
    const end = performance.now();
    for (const tensor of Object.values(past)) tensor.dispose();
    return { firstMs: first - from, rate: (count - 1) * 1e3 / (end - first), made };
  };

  /** @type {Record<string, object>} */
  const prefill = {};
  for (const n of query.small ? [32] : [128, 512]) {
    const times = [];
    for (let i = 0; i < RUNS + WARM; i++) times.push((await generate(prompts[n].ids, 1)).firstMs);
    prefill[n] = { tokens_per_s: round(n * 1e3 / summary(times.slice(WARM)).median) };
    await say(JSON.stringify(prefill));
  }
  const ids = prompts[query.small ? 32 : 128].ids;
  if (WARM) await generate(ids, 16);
  const rates = [];
  for (let i = 0; i < RUNS; i++) rates.push((await generate(ids, TOKENS)).rate);
  return {
    engine: "ONNX Runtime Web 1.30.0", build: query.build, load_ms: round(loaded), prefill,
    decode: summary(rates), precision: query.precision, real_weights: stored.ok, made: (await generate(ids, query.small ? 2 : 8)).made,
  };
});
