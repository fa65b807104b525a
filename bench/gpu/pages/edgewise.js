// One plan through shims/webgpu.js, without Python: load, prefill, decode, and where GPU time goes.
//
// Query: plan=NAME (in plans/), model=FILE, runs=N, tokens=N of decode, small=1 for a slow device.
// Without the model's file its bytes are made up; speed does not depend on their values.

import * as webgpu from "./shims/webgpu.js";
import { kernelTimes } from "./kernels.js";
import { madeUp, query, report, round, say, summary, timed } from "./report.js";

const RUNS = Number(query.runs ?? 5);
const TOKENS = Number(query.tokens ?? 128);
const WARM = query.small ? 0 : 2;
const GREEDY = Float32Array.of(0, 0, 1, 1, 0); // the sampler's settings
const PROMPTS = query.small ? [8] : [128, 512];
// [batch, steps in flight]
const PACES = query.small ? [[1, 1], [4, 8]] : [[1, 1], [1, 8], [4, 8], [8, 16], [16, 32], [32, 64], [64, 64]];

/** @param {string} name @param {number} nbytes */
async function modelBytes(name, nbytes) {
  const response = await fetch(`models/${name}`);
  if (response.ok) return { bytes: new Uint8Array(await response.arrayBuffer()), real: true };
  return { bytes: madeUp(nbytes), real: false };
}

/** @param {any} e @param {number[] | Int32Array} tokens @param {number} count @param {number[]} pace */
async function generate(e, tokens, count, [batch, inFlight]) {
  /** @type {number[]} */
  const made = [];
  let first = 0;
  let last = 0;
  const start = performance.now();
  await webgpu.generate(e, {
    tokens: Int32Array.from(tokens), past: 0, maxNewTokens: count, stopIds: [],
    uniforms: new Float32Array(count), batch, inFlight,
  }, (ids) => {
    last = performance.now();
    first ||= last;
    made.push(...ids);
  });
  return { made, firstMs: first - start, decodeMs: last - first };
}

const prompts = await (await fetch("prompts.json")).json();
const prompt = (/** @type {number} */ n) => prompts[Math.max(n, 32)].ids.slice(0, n);

/** @param {any} e */
async function prefill(e) {
  /** @type {Record<string, object>} */
  const rates = {};
  for (const n of PROMPTS) {
    const times = [];
    for (let i = 0; i < RUNS + WARM; i++) times.push((await generate(e, prompt(n), 1, [1, 1])).firstMs);
    const { median, min, max } = summary(times.slice(WARM));
    rates[n] = { tokens_per_s: round(n * 1e3 / median), ms: median, best_ms: min, worst_ms: max };
  }
  return rates;
}

/** @param {any} e */
async function decode(e) {
  const rows = [];
  await generate(e, prompt(PROMPTS[0]), query.small ? 1 : 32, [8, 16]);
  for (const pace of PACES) {
    const rates = [];
    for (let i = 0; i < RUNS; i++) {
      const { made, decodeMs } = await generate(e, prompt(PROMPTS[0]), TOKENS, pace);
      rates.push((made.length - 1) * 1e3 / decodeMs);
    }
    rows.push({ batch: pace[0], in_flight: pace[1], tokens_per_s: summary(rates) });
  }
  return rows;
}

/** What JavaScript spends on recording one decode step, without waiting. @param {any} e */
async function encodeMs(e) {
  const times = [];
  for (let i = 0; i < (query.small ? 3 : 20); i++) {
    const start = performance.now();
    const pending = e.submit("decode", [{ bindings: { seq: 1, past: 200 }, uniform: 0 }]);
    times.push(performance.now() - start);
    await e.take(pending);
  }
  return summary(times);
}

/** How many of the oracle's greedy tokens come out, per prompt. @param {any} e */
async function agreement(e) {
  const response = await fetch("smollm2_oracle.json");
  if (!response.ok) return null;
  const { prompts } = await response.json();
  /** @type {Record<string, string>} */
  const found = {};
  const cases = /** @type {[string, any][]} */ (Object.entries(prompts)).slice(0, query.small ? 1 : 5);
  for (const [name, { prompt, tokens: all }] of cases) {
    const tokens = all.slice(0, query.small ? 4 : all.length);
    const { made } = await generate(e, prompt, tokens.length, [8, 16]);
    const wrong = made.findIndex((id, i) => id !== tokens[i]);
    found[name] = `${wrong < 0 ? tokens.length : wrong} of ${tokens.length}`;
  }
  return found;
}

report(async () => {
  const text = await (await fetch(`plans/${query.plan}.json`)).text();
  const plan = JSON.parse(text);
  const end = Math.max(...plan.weights.map((/** @type {any} */ w) => w[1] + w[2]));
  const { bytes, real } = await modelBytes(query.model, end);
  const { handle, facts } = await webgpu.open();
  /** @type {any} */
  let e;
  const load = await timed(async () => {
    e = await webgpu.load(handle, text, async (at, n) => bytes.subarray(at, at + n), () => {});
  });
  await say(`${query.plan}: loaded in ${load.toFixed(0)} ms`);
  await webgpu.write(e, "settings", new Uint8Array(GREEDY.buffer));
  const second = await timed(async () => {
    const again = await webgpu.load(handle, text, async (at, n) => bytes.subarray(at, at + n), () => {});
    await webgpu.close(again);
  });
  /** @type {Record<string, any>} */
  const result = {
    plan: query.plan,
    device: facts,
    real_weights: real,
    dispatches: Object.fromEntries(Object.entries(plan.programs).map(([k, v]) => [k, /** @type {any[]} */ (v).length])),
    load_ms: round(load),
    load_again_ms: round(second),
  };
  result.agreement = real ? await agreement(e) : null;
  await say(`agreement ${JSON.stringify(result.agreement)}`);
  result.prefill = await prefill(e);
  await say(JSON.stringify(result.prefill));
  result.decode = await decode(e);
  await say(JSON.stringify(result.decode.map((/** @type {any} */ d) => [d.batch, d.in_flight, d.tokens_per_s.median])));
  result.encode_ms = await encodeMs(e);
  result.gpu = await (query.small ? kernelTimes(e, 4, 1, 1) : kernelTimes(e, 512, 5, 8));
  return result;
});
