// Runs plans through shims/wasm.js: test_wasm.py calls `openDevice`, then `runAll`.

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

Object.assign(globalThis, {
  openDevice,
  wasm,
  device: () => handle,
  runAll: (/** @type {import("./jobs.js").Job[]} */ jobs) => runAll(wasm, handle, jobs),
});
document.documentElement.dataset.ready = "true";
