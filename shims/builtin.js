// The browser's own models: LanguageModel, Translator, Summarizer, LanguageDetector, where the
// browser shows them, which is in windows. Their errors get the names of edgewise/errors.py.
// Which to use, with which options and what for is the caller's.

import { failure, plain } from "./range.js";

/** @typedef {import("./range.js").Fields} Fields */
/** @typedef {{signal?: AbortSignal, hear?: (said: any) => void}} Ways  to end it, and to be told */
/** @typedef {any} Model  an instance of one of the interfaces: TypeScript has no types for them */

/** @type {Map<number, Model>} */
const models = new Map();
let handles = 0;

/** @param {string} name @returns {any} */
const interfaceOf = (name) => /** @type {any} */ (globalThis)[name];

/** @param {string} name @param {object} options @returns {Promise<string>} */
export async function availability(name, options) {
  return interfaceOf(name)?.availability(options) ?? "unavailable";
}

/**
 * Has the browser get a model ready. `hear` is told the share of a download that is there.
 * @param {string} name @param {object} options @param {Ways} ways
 * @returns {Promise<number>} a handle
 */
export async function create(name, options, { signal, hear } = {}) {
  const found = interfaceOf(name);
  if (!found) {
    throw failure({
      code: "NoDeviceError", what: `no ${name} here`, got: "a browser without it",
      need: "one that has it", fix: "use a model from an index",
    }); // prettier-ignore
  }
  const monitor = (/** @type {EventTarget} */ target) =>
    target.addEventListener("downloadprogress", (event) => {
      if (!signal?.aborted) hear?.(/** @type {ProgressEvent} */ (event).loaded);
    });
  const model = await named(name, () => found.create({ ...options, signal, monitor }));
  if (signal?.aborted) model.destroy(); // too late to be of use to anybody
  models.set(++handles, model);
  return handles;
}

/**
 * What one of a model's methods answers.
 * @param {number} handle @param {string} method @param {any} input @param {Ways} ways
 */
export async function call(handle, method, input, { signal } = {}) {
  return named(method, async () => opened(handle)[method](input, { signal }));
}

/**
 * The same of a method that streams: `hear` is told each piece.
 * @param {number} handle @param {string} method @param {any} input @param {Ways} ways
 */
export async function stream(handle, method, input, { signal, hear } = {}) {
  return named(method, async () => {
    const reader = opened(handle)[method](input, { signal }).getReader();
    for (let step = await reader.read(); !step.done; step = await reader.read()) hear?.(step.value);
  });
}

/** @param {number} handle @returns {Model} */
function opened(handle) {
  const model = models.get(handle);
  if (model) return model;
  throw new DOMException("it was closed", "InvalidStateError");
}

/** Frees a model; what runs on it ends. @param {number} handle */
export async function destroy(handle) {
  models.get(handle)?.destroy();
  models.delete(handle);
}

/** Errors of the drafts and what they are here. Others are HostErrors.
 * @type {Record<string, (error: any) => Partial<Fields>>} */
const NAMES = {
  NotSupportedError: () => ({ code: "UnsupportedError" }),
  NetworkError: () => ({ code: "DownloadError", fix: "try again with a network" }),
  QuotaExceededError: ({ requested, quota }) => ({
    code: "ContextOverrunError", got: requested && `${requested} tokens`,
    need: quota && `at most ${quota}`, fix: "give it a shorter text",
  }),
  NotAllowedError: () => ({ fix: "ask for it on a person's click, in a page that may have it" }),
}; // prettier-ignore

/** @template T @param {string} what @param {() => Promise<T>} work @returns {Promise<T>} */
async function named(what, work) {
  try {
    return await work();
  } catch (/** @type {any} */ error) {
    const got = `${error?.name}: ${error?.message}`;
    throw failure({ code: "HostError", what, got, ...NAMES[error?.name]?.(error) });
  }
}

/** Serves these functions to a worker, whose side is builtin_port.js. @param {MessagePort} port */
export function serve(port) {
  /** @type {Record<string, (...args: any[]) => Promise<any>>} */
  const functions = { availability, create, call, stream, destroy };
  /** @type {Map<number, AbortController>} */
  const running = new Map();
  port.onmessage = async ({ data: { id, name, args, abort } }) => {
    if (abort) return running.get(id)?.abort();
    const stop = new AbortController();
    running.set(id, stop);
    const hear = (/** @type {any} */ said) => port.postMessage({ id, said });
    try {
      const value = await functions[name](...args, { signal: stop.signal, hear });
      port.postMessage({ id, value });
    } catch (error) {
      port.postMessage({ id, error: plain(error) });
    }
    running.delete(id);
  };
}
