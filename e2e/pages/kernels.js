// Runs plans through shims/webgpu.js, all at once, with base64 in and out. test_kernels.py calls
// `runAll`; `facts` is what it compiles the plans for.

import * as webgpu from "../../shims/webgpu.js";

/** @typedef {{plan: string, inputs: Record<string, string>, bindings: Record<string, number>, outputs: string[]}} Job */

const { handle, facts } = await webgpu.open();
/** @type {string[]} */
const complaints = [];
handle.gpu.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));

/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
/** @param {Uint8Array} data */
const base64 = (data) => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));

/** The outputs of one run, or why there are none. @param {Job} job */
async function run({ plan, inputs, bindings, outputs }) {
  try {
    const executable = await webgpu.load(handle, plan, async () => new Uint8Array(0), () => {});
    for (const [name, text] of Object.entries(inputs)) {
      await webgpu.write(executable, name, bytes(text));
    }
    await webgpu.run(executable, "main", bindings);
    // together: in Firefox on a CPU each read-back costs, one after another
    const read = outputs.map(async (name) => [name, base64(await webgpu.read(executable, name))]);
    const found = Object.fromEntries(await Promise.all(read));
    await webgpu.close(executable);
    return { outputs: found };
  } catch (/** @type {any} */ error) {
    return { error: `${error.code ?? error.name}: ${error.what ?? error.message}: ${error.got}` };
  }
}

/** @param {Job[]} jobs */
async function runAll(jobs) {
  return { results: await Promise.all(jobs.map(run)), complaints };
}

Object.assign(globalThis, { facts, runAll });
document.documentElement.dataset.ready = "true";
