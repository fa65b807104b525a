// The engines of models.js, each behind one function that writes inputs, runs and reads outputs.
//
//   edgewise-webgpu, edgewise-webnn, …-safetensors   the plans of CASE.json through our shims
//   ort-webgpu     ONNX Runtime Web, its WebGPU provider in the JSPI build
//   ort-graph      the same with its graph captured: buffers stay, kernels are replayed
//   ort-webnn, ort-wasm   its other providers

import * as webgpu from "./shims/webgpu.js";
import * as webnn from "./shims/webnn.js";
import { query } from "./report.js";

const SHIMS = { webgpu, webnn };
const VERSION = "1.30.0";
const BUILDS = { webgpu: "jspi", graph: "jspi", webnn: "jspi", wasm: "wasm" };

/** @param {string} url */
const bytesOf = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** A loaded executable of one shim, or several in order. @param {any} row */
export async function load(row) {
  const text = await (await fetch(row.plan)).text();
  /** @type {[number, Uint8Array][]} */
  const files = [];
  let end = 0;
  for (const [url, nbytes] of row.weights) {
    files.push([end, await bytesOf(url)]);
    end += nbytes;
  }
  const bytesAt = async (/** @type {number} */ at, /** @type {number} */ n) => {
    const [start, bytes] = /** @type {[number, Uint8Array]} */ (files.findLast(([from]) => from <= at));
    return bytes.subarray(at - start, at - start + n);
  };
  const shim = /** @type {any} */ (SHIMS)[row.target];
  const { handle, facts } = await shim.open("cpu", "[]");
  const start = performance.now();
  const plan = JSON.parse(text);
  if (plan.parts?.length > 1) throw new Error(`${plan.parts.length} parts: one was asked for`);
  const e = await shim.load(handle, plan.parts ? plan.parts[0].plan : text, bytesAt, () => {});
  // what is queued for the device counts as loading
  if (handle.gpu) await handle.gpu.queue.onSubmittedWorkDone();
  return { shim, e, facts, outputs: plan.parts ? plan.outputs : null, load_ms: performance.now() - start };
}

/** @param {string} name @param {any} row */
async function edgewise(name, row) {
  const { shim, e, outputs, load_ms } = await load(row);
  const inputs = await Promise.all(row.inputs.map(
    async (/** @type {[string, string]} */ [key, url]) => [key, await bytesOf(url)]));
  const run = async () => {
    for (const [key, bytes] of inputs) await shim.write(e, key, bytes);
    await shim.run(e, "main", row.bindings);
    const read = await Promise.all(row.outputs.map(
      async (/** @type {[string, number]} */ [key, nbytes]) => {
        const bytes = await shim.read(e, outputs ? outputs[key] : key, nbytes);
        return [key, new Float32Array(bytes.buffer, 0, nbytes / 4)];
      }));
    return Object.fromEntries(read);
  };
  const { steps, kernels, device_nbytes, live_nbytes, compile_ms, plan_nbytes } = row;
  return { name, load_ms, run, about: { steps, kernels, device_nbytes, live_nbytes, compile_ms,
    plan_nbytes, allocated_nbytes: e.nbytes } };
}

/** @param {any} ort @param {any} row */
const options = (ort, row, /** @type {keyof typeof BUILDS} */ kind, /** @type {any[]} */ externalData) => ({
  executionProviders: [kind === "webnn" ? { name: "webnn", deviceType: "cpu" }
    : kind === "graph" ? "webgpu" : kind],
  graphOptimizationLevel: "all", logSeverityLevel: 3, externalData, freeDimensionOverrides: row.sizes,
  ...(kind === "graph" ? { enableGraphCapture: true, preferredOutputLocation: "gpu-buffer" } : {}),
});

/** @param {string} name @param {any} row */
async function onnxruntime(name, row) {
  const kind = /** @type {keyof typeof BUILDS} */ (name.split("-")[1]);
  const ort = await import(`./ort/ort.${BUILDS[kind]}.min.mjs`);
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = Number(query.threads ?? 4);
  ort.env.logLevel = "error";
  const model = await bytesOf(row.model);
  const externalData = await Promise.all(row.external.map(
    async (/** @type {[string, string]} */ [path, url]) => ({ path, data: await bytesOf(url) })));
  const start = performance.now();
  const session = await ort.InferenceSession.create(model, options(ort, row, kind, externalData));
  const load_ms = performance.now() - start;
  const arrays = { int64: BigInt64Array, float32: Float32Array };
  /** @type {[string, any][]} */
  const feeds = await Promise.all(row.inputs.map(async (/** @type {any} */ [key, type, shape, url]) => {
    const { buffer } = await bytesOf(url);
    return [key, new ort.Tensor(type, new (/** @type {any} */ (arrays)[type])(buffer), shape)];
  }));
  const given = kind === "graph" ? await onDevice(ort, feeds) : { write() {}, tensors: Object.fromEntries(feeds) };
  const run = async () => {
    given.write();
    const made = await session.run(given.tensors);
    const read = await Promise.all(session.outputNames.map(
      async (/** @type {string} */ key) => [key, await made[key].getData()]));
    return Object.fromEntries(read);
  };
  return { name, load_ms, run, about: { engine_version: VERSION, threads: ort.env.wasm.numThreads } };
}

/** Inputs in buffers of the device that stay, as a captured graph wants them. @param {any} ort @param {[string, any][]} feeds */
async function onDevice(ort, feeds) {
  const device = await ort.env.webgpu.device;
  const placed = feeds.map(([key, tensor]) => {
    const size = Math.ceil(tensor.data.byteLength / 16) * 16;
    const buffer = device.createBuffer({
      size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    return { key, tensor, buffer };
  });
  return {
    write: () => placed.forEach(({ tensor, buffer }) => device.queue.writeBuffer(buffer, 0, tensor.data)),
    tensors: Object.fromEntries(placed.map(({ key, tensor, buffer }) => [key, ort.Tensor.fromGpuBuffer(
      buffer, { dataType: tensor.type, dims: tensor.dims })])),
  };
}

/** An engine by its name, loaded. @param {any} test  CASE.json @param {string} name */
export async function open(test, name) {
  if (name.startsWith("ort-")) return onnxruntime(name, test.ort);
  const row = test.plans[name];
  if (!row || row.error) throw new Error(row?.error ?? `no plan for ${name}`);
  return edgewise(name, row);
}
