// GPU time of each step of a program by timestamp queries, summed up by kernel.

import { round, summary } from "./report.js";

const MOST = 2048; // passes in a query set of 4096

/**
 * One decode step and one prefill of `seq` tokens.
 *   step_ms   the whole program in one pass, as it really runs
 *   alone     each step in a pass of its own: kernels with cold caches, a pass's edges included
 *   repeated  each step `repeats` times in its pass: throughput of the kernel itself, caches warm
 * @param {any} e  an executable of shims/webgpu.js @param {number} seq
 * @param {number} runs @param {number} repeats
 */
export async function kernelTimes(e, seq, runs, repeats) {
  if (!e.gpu.features.has("timestamp-query")) return null;
  /** @type {Record<string, object>} */
  const result = {};
  const limit = Math.min(seq, e.plan.symbols.seq);
  for (const [program, bindings] of /** @type {[string, Record<string, number>][]} */ ([
    ["decode", { seq: 1, past: seq }], ["prefill", { seq: limit, past: 0 }]])) {
    const { labels, whole, alone, repeated } = await stepTimes(e, program, bindings, runs, repeats);
    result[program] = { bindings, step_ms: whole, kernels: table(labels, alone, repeated) };
  }
  return result;
}

/**
 * Nanoseconds of each step of a program, and milliseconds of the whole (see kernelTimes).
 * @param {any} e @param {string} program @param {Record<string, number>} bindings
 * @param {number} runs @param {number} repeats
 */
export async function stepTimes(e, program, bindings, runs, repeats) {
  const steps = e.programs[program].slice(0, MOST);
  const labels = e.plan.programs[program].map((/** @type {any} */ s) => e.plan.kernels[s[0]][0]);
  const whole = [];
  for (let i = 0; i < runs; i++) whole.push((await measure(e, bindings, [steps]))[0] / 1e6);
  const alone = await median(runs, () => measure(e, bindings, steps.map((/** @type {any} */ s) => [s])));
  const repeated = await median(runs, () =>
    measure(e, bindings, steps.map((/** @type {any} */ s) => Array(repeats).fill(s))));
  return { labels, whole: summary(whole), alone, repeated: repeated.map((ns) => ns / repeats) };
}

/** The median of each entry. @param {number} runs @param {() => Promise<number[]>} work */
async function median(runs, work) {
  /** @type {number[][]} */
  const all = [];
  for (let i = 0; i < runs; i++) all.push(await work());
  return all[0].map((_, i) => summary(all.map((times) => times[i])).median);
}

/** @param {string[]} labels @param {number[]} alone @param {number[]} repeated  nanoseconds */
export function table(labels, alone, repeated) {
  /** @type {Record<string, {count: number, alone_ms: number, repeated_ms: number, share?: number}>} */
  const rows = {};
  labels.slice(0, alone.length).forEach((label, i) => {
    const row = (rows[label] ??= { count: 0, alone_ms: 0, repeated_ms: 0 });
    row.count += 1;
    row.alone_ms += alone[i] / 1e6;
    row.repeated_ms += repeated[i] / 1e6;
  });
  const total = alone.reduce((sum, ns) => sum + ns, 0) / 1e6;
  const sorted = Object.entries(rows).sort(([, a], [, b]) => b.alone_ms - a.alone_ms);
  return sorted.map(([kernel, { count, alone_ms, repeated_ms }]) => ({
    kernel, count, alone_ms: round(alone_ms), repeated_ms: round(repeated_ms),
    share: round(alone_ms / total),
  }));
}

/**
 * Nanoseconds of each pass.
 * @param {any} e @param {Record<string, number>} bindings @param {any[][]} passes  steps of each
 * @returns {Promise<number[]>}
 */
async function measure(e, bindings, passes) {
  /** @type {GPUDevice} */
  const gpu = e.gpu;
  const count = 2 * passes.length;
  const querySet = gpu.createQuerySet({ type: "timestamp", count });
  const resolved = gpu.createBuffer({
    size: 8 * count, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const reader = gpu.createBuffer({
    size: 8 * count, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  e.writeSlot(0, bindings);
  const encoder = gpu.createCommandEncoder();
  const begin = encoder.beginComputePass.bind(encoder);
  passes.forEach((steps, i) => {
    // the executor's own recording, with a clock at both ends of its pass
    encoder.beginComputePass = () => begin({ timestampWrites: {
      querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } });
    e.encode(encoder, steps, bindings, 0);
  });
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, reader, 0, 8 * count);
  gpu.queue.submit([encoder.finish()]);
  await reader.mapAsync(GPUMapMode.READ);
  const times = new BigInt64Array(reader.getMappedRange().slice(0));
  for (const made of [querySet, resolved, reader]) made.destroy();
  return passes.map((_, i) => Number(times[2 * i + 1] - times[2 * i]));
}
