// Runs plans through shims/wasm.js, for wasm_page.py.

import * as wasm from "../../shims/wasm.js";
import { runAll } from "./jobs.js";

/** @type {any} */
let handle = null;

/** What the device says of itself. @param {{module?: string, threads?: number}} options */
async function openDevice(options) {
  if (handle) await wasm.close(handle);
  const opened = await wasm.open(options);
  handle = opened.handle;
  return opened.facts;
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
  runAll: (/** @type {import("./jobs.js").Job[]} */ jobs) => runAll(wasm, handle, jobs),
});
document.documentElement.dataset.ready = "true";
