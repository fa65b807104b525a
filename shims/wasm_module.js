// The code of a Wasm module: fetched once, and kept for a visit without a network. The network comes
// first, so that a new build is seen at once.

const KEPT = "edgewise-modules-1"; // the number is the layout's version

/** @type {Map<string, Promise<WebAssembly.Module>>} */
const modules = new Map();

/** One of "simd", "relaxed" and "threads". Throws HostError. @param {string} name */
export function compiled(name) {
  let code = modules.get(name);
  if (!code) {
    code = compile(new URL(`wasm/${name}.wasm`, import.meta.url));
    code.catch(() => modules.delete(name));
    modules.set(name, code);
  }
  return code;
}

/** @param {URL} url */
async function compile(url) {
  try {
    const response = await fetched(url);
    const streams = response.headers.get("content-type") === "application/wasm";
    return await (streams ? WebAssembly.compileStreaming(response)
      : WebAssembly.compile(await response.arrayBuffer())); // prettier-ignore
  } catch (error) {
    throw { code: "HostError", what: "the Wasm module", got: String(error), need: url.pathname,
      fix: "try again with a network, or serve the site whole" };
  }
}

/** @param {URL} url */
async function fetched(url) {
  const cache = await globalThis.caches?.open(KEPT).catch(() => undefined);
  try {
    const response = await fetch(url, { cache: "no-cache" });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    await cache?.put(url, response.clone()).catch(() => {}); // a full disk: there is a network now
    return response;
  } catch (error) {
    const kept = await cache?.match(url);
    if (!kept) throw error;
    return kept;
  }
}
