// A worker's way to builtin.js: browsers show those interfaces in windows, so the page's window
// serves its functions through a port. They are the same here.

import { failure } from "./range.js";

/** @typedef {import("./builtin.js").Ways} Ways */
/** @typedef {{resolve: (value: any) => void, reject: (error: any) => void, hear: (said: any) => void}} Asked */

/** @type {MessagePort | null} */
let served = null;
/** @type {Map<number, Asked>} */
const waiting = new Map();
let last = 0;

/** @param {MessagePort} port  whose other end builtin.js serves */
export function connect(port) {
  served = port;
  port.onmessage = ({ data: { id, said, value, error } }) => {
    const asked = waiting.get(id);
    if (said !== undefined) return asked?.hear(said);
    waiting.delete(id);
    if (error) asked?.reject(error);
    else asked?.resolve(value);
  };
}

/** @param {string} name @param {any[]} args @param {Ways} ways @returns {Promise<any>} */
async function ask(name, args, { signal, hear } = {}) {
  const port = served;
  if (!port) {
    throw failure({
      code: "NoDeviceError", what: "no model of the browser", need: "a window that serves them",
      got: "a page without one",
    }); // prettier-ignore
  }
  const id = ++last;
  signal?.addEventListener("abort", () => port.postMessage({ id, abort: true }));
  return new Promise((resolve, reject) => {
    const heard = (/** @type {any} */ said) => void (signal?.aborted || hear?.(said));
    waiting.set(id, { resolve, reject, hear: heard });
    port.postMessage({ id, name, args });
  });
}

/** @param {string} name @param {object} options @returns {Promise<string>} */
export const availability = async (name, options) =>
  served ? ask("availability", [name, options]) : "unavailable";
/** @param {string} name @param {object} options @param {Ways} ways */
export const create = (name, options, ways) => ask("create", [name, options], ways);
/** @param {number} handle @param {string} method @param {any} input @param {Ways} ways */
export const call = (handle, method, input, ways) => ask("call", [handle, method, input], ways);
/** @param {number} handle @param {string} method @param {any} input @param {Ways} ways */
export const stream = (handle, method, input, ways) => ask("stream", [handle, method, input], ways);
/** @param {number} handle */
export const destroy = (handle) => ask("destroy", [handle]);
