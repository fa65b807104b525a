// One engine in a page: `call(method, argument)` answers what its module exports. An engine lives in
// a worker, or with main=1 in the page, because it starts a worker by itself.
//
// Engines (NAME.js) export open(query), turn(task) and outputs(task); times are milliseconds.

const query = Object.fromEntries(new URLSearchParams(location.search));

/** @type {(method: string, argument: unknown) => Promise<unknown>} */
let call;
if (query.main) {
  const engine = await import(`./${query.engine}.js`);
  call = async (method, argument) => engine[method](argument);
} else {
  const worker = new Worker(`worker.js${location.search}`, { type: "module" });
  /** @type {Map<number, [(value: unknown) => void, (error: Error) => void]>} */
  const waiting = new Map();
  let calls = 0;
  worker.onmessage = ({ data: { id, value, error } }) => {
    const [resolve, reject] = waiting.get(id) ?? [() => {}, () => {}];
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(value);
  };
  worker.onerror = ({ message }) => {
    for (const [, reject] of waiting.values()) reject(new Error(message));
  };
  call = (method, argument) => new Promise((resolve, reject) => {
    waiting.set(++calls, [resolve, reject]);
    worker.postMessage({ id: calls, method, argument });
  });
}
Object.assign(globalThis, { call });
document.title = "ready";
