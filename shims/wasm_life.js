// How a worker's death is noticed: it holds a lock for as long as it lives, and who asks for the
// same lock gets it when it is gone. A worker that is ended or crashes fires no event.
// Where a page has no locks (it is not served securely), errors alone tell.

/** Takes a lock and never lets go. @param {string} name @returns {Promise<void>} */
export const live = (name) => new Promise((resolve) => {
  if (!navigator.locks) return resolve();
  navigator.locks.request(name, () => {
    resolve();
    return new Promise(() => {});
  });
});

/** Calls back when the holder of a lock is gone. @param {string} name @param {AbortSignal} signal @param {() => void} gone */
export function watch(name, signal, gone) {
  navigator.locks?.request(name, { signal }, gone).catch(() => {}); // aborted: nobody asks any more
}
