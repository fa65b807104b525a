// Boots Python in shims/worker.js with runner.py, and gives tests `runPython`: see python_page.py.

/** @type {typeof import("../../shims/builtin.js")} */
const { serve } = await import(new URL("../shims/builtin.js", import.meta.url).href);
/** @type {typeof import("../../shims/threads.js")} */
const { threadsFor } = await import(new URL("../shims/threads.js", import.meta.url).href);

/** @type {Map<number, (answer: object) => void>} */
const waiting = new Map();
let asked = 0;

const worker = new Worker(new URL("../shims/worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => {
  if (data.started) return;
  if (data.failed) return void (document.documentElement.dataset.failed = JSON.stringify(data.failed));
  const answer = JSON.parse(data.view);
  if (answer.ready) document.documentElement.dataset.ready = "true";
  else waiting.get(answer.id)?.(answer);
};
worker.onerror = (event) => {
  document.documentElement.dataset.failed = event.message;
};
const { port1, port2: builtins } = new MessageChannel();
serve(port1);
const [base, threads] = [new URL("/", location.href).href, threadsFor()];
worker.postMessage({ start: { base, python: ["runner.py"], builtins, threads } }, [builtins, threads]);

/** What a snippet gives, or its traceback. @param {string} code @param {string} data  JSON */
function runPython(code, data) {
  const id = ++asked;
  worker.postMessage({ event: JSON.stringify({ id, code, data }) });
  return new Promise((resolve) => waiting.set(id, resolve));
}

Object.assign(globalThis, { runPython });
