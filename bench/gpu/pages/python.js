// Runs measure.py where the site's own page runs: in Pyodide in shims/worker.js.

import { query, report } from "./report.js";

report(() => new Promise((resolve, reject) => {
  const worker = new Worker("shims/worker.js", { type: "module" });
  worker.onerror = (event) => reject(new Error(event.message));
  worker.onmessage = ({ data }) => {
    if (data.failed) reject(data.failed);
    if (!data.view) return;
    const [[, state, result]] = JSON.parse(data.view);
    if (state === "error") reject(new Error(result));
    else resolve({ ...result, since_navigation_ms: performance.now() });
  };
  // the worker's clock starts now
  worker.postMessage({ start: {
    base: document.baseURI, python: ["measure.py"], prefetch: query.prefetch ? "webgpu" : undefined } });
}));
