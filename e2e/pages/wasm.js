// Runs plans through shims/wasm.js, for wasm_page.py.

import * as wasm from "../../shims/wasm.js";
import { run, runAll } from "./jobs.js";

/** @typedef {{module?: string, threads?: number}} Options */
/** @typedef {import("./jobs.js").Job} Job */

/** @type {any} */
let handle = null;
/** @type {any[]} */
let all = [];

/** What the device says of itself. @param {Options} options */
async function openDevice(options) {
  if (handle) await wasm.close(handle);
  const opened = await wasm.open(options);
  handle = opened.handle;
  return opened.facts;
}

/** What several devices say of themselves. @param {Options[]} choices */
async function openAll(choices) {
  all = await Promise.all(choices.map((each) => wasm.open(each)));
  return all.map((each) => each.facts);
}

/**
 * What each of them makes of a job; null where it is what the one before made. `plans` has a plan for
 * each device, `null` for the one before's.
 * @param {(Job & {plans: (string | null)[]})[]} jobs
 */
async function runEverywhere(jobs) {
  const results = [];
  for (const job of jobs) {
    let [plan, before] = ["", ""];
    const made = [];
    for (const [index, { handle }] of all.entries()) {
      plan = job.plans[index] ?? plan;
      const result = JSON.stringify(await run(wasm, handle, { ...job, plan }));
      made.push(result === before ? null : JSON.parse(result));
      before = result;
    }
    results.push(made);
  }
  return results;
}

/** The result, or what was thrown. @param {() => Promise<any>} work */
async function attempt(work) {
  try {
    return await work();
  } catch (/** @type {any} */ error) {
    return error.what ? { ...error } : { code: error.name, what: String(error) };
  }
}

Object.assign(globalThis, {
  openDevice,
  attempt,
  wasm,
  device: () => handle,
  openAll,
  runEverywhere,
  runAll: (/** @type {Job[]} */ jobs) => runAll(wasm, handle, jobs),
});
document.documentElement.dataset.ready = "true";
