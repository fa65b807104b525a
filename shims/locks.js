// Web Locks: between all tabs and workers of an origin. Works in a window and in a worker; what
// a page or worker held that is gone, the browser releases.

import { failure } from "./range.js";

/**
 * Asks for a lock, which is held until `signal` aborts; that also ends the wait for it.
 * @param {string} name
 * @param {boolean} shared  with others that hold it shared
 * @param {boolean} wait    else it is taken at once or not at all
 * @param {AbortSignal} signal
 * @returns {Promise<{held: boolean, over: Promise<void>}>} `over`: when it was released
 */
export async function hold(name, shared, wait, signal) {
  if (!navigator.locks) {
    throw failure({
      code: "StoreError", what: "no locks", got: "a page without Web Locks",
      need: "a secure context", where: globalThis.location?.href,
      fix: "serve the page over HTTPS or from localhost",
    }); // prettier-ignore
  }
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  const mode = shared ? "shared" : "exclusive";
  const options = wait ? { mode, signal } : { mode, ifAvailable: true };
  return new Promise((resolve, reject) => {
    const over = navigator.locks.request(`edgewise ${name}`, /** @type {LockOptions} */ (options),
      async (/** @type {Lock | null} */ lock) => {
        resolve({ held: lock !== null, over });
        if (lock) await aborted;
      }); // prettier-ignore
    over.catch(reject);
  });
}
