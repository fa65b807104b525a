// The peer ONNX Runtime Web on Wasm: any model.
// Query: model=FILE, threads=N, inputs=JSON [name, type, shape, file][], sizes=JSON of open ones.

import { base64, bytesOf, turns } from "./tasks.js";

/** @type {any} */
let session;
/** @type {Record<string, any>} */
const feeds = {};
/** @type {() => Promise<{run: number}>} */
let next;

/** @param {Record<string, string>} query */
export async function runtime(query) {
  const build = "/onnxruntime-web/dist/ort.wasm.min.mjs";
  const ort = await import(build);
  ort.env.wasm.wasmPaths = "/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = Number(query.threads);
  ort.env.logLevel = "error";
  return ort;
}

const KINDS = { int64: BigInt64Array, float32: Float32Array };

/** @param {Record<string, string>} query */
export async function open(query) {
  const ort = await runtime(query);
  const model = await bytesOf(query.model);
  const start = performance.now();
  session = await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3,
    freeDimensionOverrides: JSON.parse(query.sizes),
  });
  const load = performance.now() - start;
  for (const [name, type, shape, file] of JSON.parse(query.inputs)) {
    const Kind = KINDS[/** @type {keyof typeof KINDS} */ (type)];
    feeds[name] = new ort.Tensor(type, new Kind((await bytesOf(file)).buffer), shape);
  }
  const { first, turn } = await turns(() => session.run(feeds));
  next = turn;
  return { load, first, threads: ort.env.wasm.numThreads };
}

export const turn = () => next();

/** The bytes of the first output. */
export async function outputs() {
  const { data } = (await session.run(feeds))[session.outputNames[0]];
  return base64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
