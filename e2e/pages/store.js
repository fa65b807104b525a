// Calls the store's functions on the page or in a worker, with JSON in and out. test_store.py
// calls `call`; the worker is this same file.

import * as store from "../../shims/store.js";

const inWorker = typeof document === "undefined";

/**
 * One function of the store; bytes travel as arrays of numbers. What fetchRun's `onBytes` was
 * told is in `arrived`; `abortAt` aborts it when so many bytes came.
 * @param {string} name
 * @param {any[]} args
 * @returns {Promise<any>}
 */
async function run(name, args) {
  try {
    if (name === "put") args[1] = Uint8Array.from(args[1]);
    if (name === "fetchRun") return await fetchRun(args);
    const value = await /** @type {any} */ (store)[name](...args);
    return { value: value instanceof Uint8Array ? Array.from(value) : value };
  } catch (/** @type {any} */ error) {
    const { code, what, got, need, where, fix } = error;
    return { error: { code, what, got, need, where, fix, name: error.name } };
  }
}

/** @param {any[]} args */
async function fetchRun([url, offset, segments, { abortAt = Infinity, ...options } = {}]) {
  const abort = new AbortController();
  let arrived = 0;
  const onBytes = (/** @type {number} */ nbytes) => {
    arrived += nbytes;
    if (arrived >= abortAt) abort.abort();
  };
  const all = { ...options, onBytes, signal: abort.signal };
  return { value: await store.fetchRun(url, offset, segments, all), arrived };
}

if (inWorker) {
  globalThis.onmessage = async ({ data: [id, name, args] }) => {
    postMessage([id, await run(name, args)]);
  };
  postMessage(["ready"]);
} else {
  const worker = new Worker(import.meta.url, { type: "module" });
  /** @type {Map<number | string, (value: any) => void>} */
  const waiting = new Map();
  worker.onmessage = ({ data: [id, answer] }) => waiting.get(id)?.(answer);
  const ready = new Promise((resolve) => waiting.set("ready", resolve));
  let last = 0;
  /** @param {"window" | "worker"} where @param {string} name @param {any[]} args */
  const call = (where, name, args) => {
    if (where === "window") return run(name, args);
    const id = ++last;
    worker.postMessage([id, name, args]);
    return new Promise((resolve) => waiting.set(id, resolve));
  };
  Object.assign(globalThis, { call });
  await ready;
  document.documentElement.dataset.ready = "true";
}
