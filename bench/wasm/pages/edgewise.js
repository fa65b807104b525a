// Edgewise: plans that were compiled ahead, through a shim, without Python.
// Query: shim=wasm|webgpu, threads=N, told=FILE (what plans.py wrote about a plan).

import { base64, bytesOf, generation, prompts, turns } from "./tasks.js";

const GREEDY = Float32Array.of(0, 0, 1, 1, 0); // the sampler's settings
const PACE = { batch: 8, inFlight: 8 };

/** @type {any} */
let shim;
/** @type {any} */
let device;
/** @type {any} */
let executable;
/** @type {any} */
let told;
/** @type {[string, Uint8Array][]} */
let inputs;
/** @type {() => Promise<object>} */
let next;

/** What the device says of itself. @param {Record<string, string>} query */
export async function facts(query) {
  const path = `/shims/${query.shim}.js`;
  shim = await import(path);
  device = await shim.open({ threads: Number(query.threads) });
  return device.facts;
}

/** @param {Record<string, string>} query */
export async function open(query) {
  const found = await facts(query);
  const answer = await fetch(query.told);
  if (!answer.ok) throw new Error("no plan was made");
  told = await answer.json();
  const weights = await joined(told.weights);
  const plan = await (await fetch(told.plan)).text();
  const start = performance.now();
  executable = await shim.load(device.handle, plan,
    async (/** @type {number} */ at, /** @type {number} */ n) => weights.subarray(at, at + n), () => {});
  const load = performance.now() - start;
  const about = { load, threads: found.limits?.threads, features: found.features };
  if (told.llm) {
    await shim.write(executable, "settings", new Uint8Array(GREEDY.buffer));
    await generate((await prompts())[128], 16); // warm
    return about;
  }
  inputs = await Promise.all(told.inputs.map(
    async (/** @type {[string, string]} */ [name, file]) => [name, await bytesOf(file)]));
  const { first, turn } = await turns(run);
  next = turn;
  return { ...about, first };
}

/** @param {[string, number][]} files  with their sizes */
async function joined(files) {
  const bytes = new Uint8Array(files.reduce((sum, [, nbytes]) => sum + nbytes, 0));
  let at = 0;
  for (const [url, nbytes] of files) {
    bytes.set(await bytesOf(url), at);
    at += nbytes;
  }
  return bytes;
}

/** Inputs in, the outputs' bytes back. @returns {Promise<Uint8Array[]>} */
async function run() {
  for (const [name, bytes] of inputs) await shim.write(executable, name, bytes);
  await shim.run(executable, "main", told.bindings);
  return Promise.all(told.outputs.map((/** @type {[string, number]} */ [name, nbytes]) =>
    shim.read(executable, name, nbytes)));
}

/** @param {import("./tasks.js").Prompt} prompt @param {number} count */
async function generate({ ids }, count) {
  /** @type {number[]} */
  const made = [];
  const start = performance.now();
  let first = 0;
  let last = 0;
  await shim.generate(executable, {
    tokens: Int32Array.from(ids), past: 0, maxNewTokens: count, stopIds: [],
    uniforms: new Float32Array(count), ...PACE,
  }, (/** @type {Int32Array} */ tokens) => {
    last = performance.now();
    first ||= last;
    made.push(...tokens);
  });
  return { prefillMs: first - start, decodeMs: last - first, made };
}

/** @param {import("./tasks.js").Task} task */
export const turn = (task) => told.llm ? generation(task, generate) : next();

/** The bytes of the first output. */
export const outputs = async () => base64((await run())[0].subarray(0, told.outputs[0][1]));
