// What a browser has, asked on the page and in a dedicated worker. test_browsers.py calls these.

/**
 * Ask the worker for its WebGPU facts.
 * @returns {Promise<object>}
 */
function workerFacts() {
  return new Promise((resolve, reject) => {
    const worker = new Worker("gpu_worker.js", { type: "module" });
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
}

/**
 * One request for part of a file.
 * @param {string} url
 * @param {Record<string, string>} headers
 */
async function fetchPart(url, headers) {
  const response = await fetch(url, { headers });
  return {
    status: response.status,
    range: response.headers.get("Content-Range"),
    etag: response.headers.get("ETag"),
    bytes: Array.from(new Uint8Array(await response.arrayBuffer())),
  };
}

/** Whether `navigator.ml` gives a context on the CPU. */
async function hasWebNN() {
  const ml = /** @type {any} */ (navigator).ml;
  if (!ml) return false;
  try {
    await ml.createContext({ deviceType: "cpu" });
    return true;
  } catch {
    return false;
  }
}

Object.assign(globalThis, { workerFacts, fetchPart, hasWebNN });
document.documentElement.dataset.ready = "true";
