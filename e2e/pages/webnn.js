// Runs plans through shims/webnn.js, many in one call, with base64 in and out. test_webnn.py calls
// `open`, then `runAll` with plans that it compiled for what `open` told.

import * as webnn from "../../shims/webnn.js";

/** @typedef {{plan: string, inputs: Record<string, string>, outputs: string[]}} Job */

/** @type {any} */
let device;

/** @param {string} deviceType @param {string} probes */
async function open(deviceType, probes) {
  const { handle, facts } = await webnn.open(deviceType, probes);
  device = handle;
  return facts;
}

/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
/** @param {Uint8Array} data */
const base64 = (data) => {
  let text = "";
  for (let at = 0; at < data.length; at += 8192) {
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  }
  return btoa(text);
};

/** The outputs of one run, or why there are none. @param {Job} job */
async function run({ plan, inputs, outputs }) {
  try {
    const executable = await webnn.load(device, plan, async () => new Uint8Array(0), () => {});
    for (const [name, text] of Object.entries(inputs)) {
      await webnn.write(executable, name, bytes(text));
    }
    await webnn.run(executable);
    const read = outputs.map(async (name) => [name, base64(await webnn.read(executable, name))]);
    const found = Object.fromEntries(await Promise.all(read));
    await webnn.close(executable);
    return { outputs: found };
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
