// Runs plans through a shim, all at once, with base64 in and out.

/** @typedef {{plan: string, inputs: Record<string, string>, bindings: Record<string, number>, outputs: string[], weights?: string}} Job */

/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
/** @param {Uint8Array} data */
const base64 = (data) => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));

/** The outputs of one run, or why there are none. @param {any} shim @param {any} handle @param {Job} job */
export async function run(shim, handle, { plan, inputs, bindings, outputs, weights = "" }) {
  try {
    const file = bytes(weights);
    const executable = await shim.load(handle, plan,
      async (/** @type {number} */ start, /** @type {number} */ n) => file.subarray(start, start + n), () => {});
    for (const [name, text] of Object.entries(inputs)) await shim.write(executable, name, bytes(text));
    await shim.run(executable, "main", bindings);
    // together: in Firefox on a CPU each read-back from a GPU costs, one after another
    const read = outputs.map(async (name) => [name, base64(await shim.read(executable, name))]);
    const found = Object.fromEntries(await Promise.all(read));
    await shim.close(executable);
    return { outputs: found };
  } catch (/** @type {any} */ error) {
    return { error: `${error.code ?? error.name}: ${error.what ?? error.message}: ${error.got}` };
  }
}

/** @param {any} shim @param {any} handle @param {Job[]} jobs */
export const runAll = (shim, handle, jobs) => Promise.all(jobs.map((job) => run(shim, handle, job)));
