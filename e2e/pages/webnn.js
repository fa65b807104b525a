// Runs plans through shims/webnn.js and, for parts that WebNN does not take, shims/webgpu.js.
// test_webnn.py calls `open`, then `runAll` with plans that it compiled for what `open` told.

import * as webgpu from "../../shims/webgpu.js";
import * as webnn from "../../shims/webnn.js";

/** @typedef {string | [string, number]} Packed  base64, or base64 and how often to repeat it */
/** @typedef {{target: string, plan: string, weights: Packed, inputs: Record<string, Packed>, outputs: string[]}} Job */

/** @type {Record<string, any>} */
const shims = { webgpu, webnn };
/** @type {Record<string, any>} */
const devices = {};

/** @param {string} probes */
async function open(probes) {
  const native = await webnn.open("cpu", probes);
  const gpu = await webgpu.open();
  devices.webnn = native.handle;
  devices.webgpu = gpu.handle;
  return { webnn: native.facts, webgpu: gpu.facts };
}

/** @param {Packed} packed @returns {Uint8Array<ArrayBuffer>} */
function unpacked(packed) {
  if (typeof packed === "string") return Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const [text, times] = packed;
  const word = new BigUint64Array(unpacked(text).buffer)[0];
  return new Uint8Array(new BigUint64Array(times).fill(word).buffer);
}

/** @param {Uint8Array} data @returns {Packed} */
function packed(data) {
  if (data.length > 1 << 20 && data.length % 8 === 0) {
    const words = new BigUint64Array(data.buffer, data.byteOffset, data.length / 8);
    if (words.every((word) => word === words[0])) return [base64(data.subarray(0, 8)), words.length];
  }
  return base64(data);
}

/** @param {Uint8Array} data */
const base64 = (data) => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));

/** The outputs of one run, or why there are none. @param {Job} job */
async function run({ target, plan, weights, inputs, outputs }) {
  const shim = shims[target];
  try {
    // one of the guards' examples ends the process behind it
    if (devices[target].lost) devices[target] = (await shim.open("cpu", "[]")).handle;
    const file = unpacked(weights);
    const bytesAt = async (/** @type {number} */ start, /** @type {number} */ nbytes) =>
      file.subarray(start, start + nbytes);
    const executable = await shim.load(devices[target], plan, bytesAt, () => {});
    for (const [name, data] of Object.entries(inputs)) {
      await shim.write(executable, name, unpacked(data));
    }
    await shim.run(executable, "main", {});
    const found = [];
    for (const name of outputs) found.push([name, packed(await shim.read(executable, name))]);
    await shim.close(executable);
    return { outputs: Object.fromEntries(found), nbytes: executable.nbytes };
  } catch (/** @type {any} */ error) {
    return { error: `${error.code ?? error.name}: ${error.what ?? error.message}: ${error.got}` };
  }
}

/** @param {Job[]} jobs */
async function runAll(jobs) {
  const results = [];
  for (const job of jobs) results.push(await run(job));
  return results;
}

Object.assign(globalThis, { open, runAll });
document.documentElement.dataset.ready = "true";
