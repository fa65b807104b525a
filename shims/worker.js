// Boots Python in a worker and hands it the shims and the page's events.
//
// Everything is fetched at once; each phase is timed. Until Python listens, events wait here.
// The page is told {started} then, or {failed: {code, what, where, fix}}; what Python shows comes
// as {view}.

import { borrow } from "./threads.js";

/** @typedef {{base: string, python: string[], prefetch?: string,
 *   shared?: Record<string, MessagePort>, builtins?: MessagePort, threads?: MessagePort}} Start */

/** @type {{event: string, files?: File[]}[]} */
const waiting = [];
/** @type {((event: string, files: File[]) => void) | null} */
let listener = null;
/** @type {Record<string, number>} */
const timings = {};

/** What Python gets of this worker. */
const page = {
  /** @param {string} view  JSON */
  post: (view) => postMessage({ view }),
  /** @param {(event: string, files: File[]) => void} callback  Python's, which destroys it */
  listen(callback) {
    listener = callback;
    waiting.splice(0).forEach(({ event, files = [] }) => callback(event, files));
  },
};

onmessage = ({ data }) => {
  if (data.start) boot(data.start).catch(report);
  else if (listener) listener(data.event, data.files ?? []);
  else waiting.push(data);
};

/** @param {any} error */
function report(error) {
  console.error(error);
  postMessage({
    failed: {
      code: "HostError",
      what: `Python did not start: ${error?.message ?? error}`,
      where: error?.where,
      fix: "Reload the page; if it stays so, the site was not built or served whole.",
    },
  });
}

/** @template T @param {string} phase @param {() => Promise<T>} work @returns {Promise<T>} */
async function timed(phase, work) {
  const start = performance.now();
  try {
    return await work();
  } catch (/** @type {any} */ error) {
    throw Object.assign(new Error(error?.message ?? String(error)), { where: phase });
  } finally {
    timings[phase] = performance.now() - start;
  }
}

/** @param {URL} url */
async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: HTTP ${response.status}`);
  return response;
}

/** @param {Start} start */
async function boot({ base, python, prefetch, shared = {}, builtins, threads }) {
  if (threads) borrow(threads);
  const site = (/** @type {string} */ path) => new URL(path, base);
  const build = timed("build.json", async () => (await fetched(site("build.json"))).json());
  const [runtime, wheel, sources, shims] = await Promise.all([
    timed("Pyodide", () => startPyodide(site)),
    timed("wheel", async () => (await fetched(site((await build).wheel))).arrayBuffer()),
    timed("page", () => Promise.all(python.map(async (name) => ({
      name, text: await (await fetched(site(name))).text(),
    })))),
    timed("shims", async () => {
      const loaded = await loadShims();
      loaded.share.reach(shared);
      if (builtins) loaded.builtin.connect(builtins);
      // where another place may have the model, Python asks there first
      const alone = !loaded.share.names().length;
      if (prefetch && alone && usual(base)) loaded.prefetch.start(site((await build).models[0]).href, prefetch);
      return loaded;
    }),
  ]); // prettier-ignore
  await timed("unpack", async () => runtime.unpackArchive(wheel, "wheel"));
  for (const { name, text } of sources) runtime.FS.writeFile(`/home/pyodide/${name}`, text);
  const about = { base, timings, model: site((await build).models[0]).href };
  await timed("import", async () => {
    const main = runtime.pyimport(python[python.length - 1].replace(/\.py$/, ""));
    try {
      main.main({ ...guarded(shims), page, about });
    } finally {
      main.destroy();
    }
  });
  postMessage({ started: true });
}

/** Whether this address leaves it at the site's first model. @param {string} address */
function usual(address) {
  const query = new URL(address).searchParams;
  return !query.has("model") && query.get("policy") !== "server";
}

/** @param {(path: string) => URL} site */
async function startPyodide(site) {
  const { loadPyodide } = await import(site("vendor/pyodide/pyodide.mjs").href);
  return loadPyodide({ indexURL: site("vendor/pyodide/").href });
}

async function loadShims() {
  const [store, locks, told, share, file, prefetch, webgpu, wasm, webnn, tokenizer, builtin] = await Promise.all([
    import("./store.js"), import("./locks.js"), import("./told.js"), import("./share.js"),
    import("./file.js"), import("./prefetch.js"), import("./webgpu.js"), import("./wasm.js"), import("./webnn.js"),
    import("./tokenizer.js"), import("./builtin_port.js"),
  ]); // prettier-ignore
  return { store, locks, told, share, file, prefetch, webgpu, wasm, webnn, tokenizer, builtin };
}

/** Modules whose functions throw only Errors: Python cannot await what rejects with anything
 * else. An error's plain fields travel as JSON in `fields`.
 * @param {Record<string, Record<string, any>>} modules */
function guarded(modules) {
  const wrapped = Object.entries(modules).map(([name, module]) => [
    name,
    Object.fromEntries(Object.entries(module).map(([key, value]) => [
      key, typeof value === "function" ? guard(value) : value,
    ])),
  ]); // prettier-ignore
  return Object.fromEntries(wrapped);
}

/** @param {(...args: any[]) => any} call */
function guard(call) {
  return (/** @type {any[]} */ ...args) => {
    try {
      const result = call(...args);
      return result instanceof Promise ? result.catch(raise) : result;
    } catch (error) {
      return raise(error);
    }
  };
}

/** @param {any} error @returns {never} */
function raise(error) {
  const { code, what, got, need, where, fix } = error ?? {};
  const fields = typeof what === "string"
    ? { code, what, got, need, where, fix }
    : { code: "HostError", what: String(error) }; // prettier-ignore
  throw Object.assign(new Error(fields.what), {
    name: error?.name ?? "Error",
    fields: JSON.stringify(fields),
  });
}
