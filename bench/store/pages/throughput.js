// One download of a model's file, in two ways; the page's worker does it, as in the real page.
//
//   plain     one fetch, and its body given to Cache Storage: nothing is verified
//   edgewise  shims/store.js: Range requests, every segment digested and stored by its hash
//
// `measure(name, url, segments)` gives the milliseconds that it took.

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });

/** @param {string} name @param {string} url @param {[string, number][]} segments */
export function measure(name, url, segments) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.ms));
    worker.postMessage({ name, url, segments });
  });
}

Object.assign(globalThis, { measure });
document.documentElement.dataset.ready = "";
