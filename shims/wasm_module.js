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
    return await WebAssembly.compile(await bytesOf(url));
  } catch (error) {
    throw { code: "HostError", what: "the Wasm module", got: String(error), need: url.pathname,
      fix: "try again with a network, or serve the site whole" };
  }
}

/** @param {URL} url */
async function bytesOf(url) {
  const cache = await globalThis.caches?.open(KEPT).catch(() => undefined);
  try {
    const response = await fetch(url, { cache: "no-cache" });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const bytes = await response.arrayBuffer();
    await cache?.put(url, new Response(bytes)).catch(() => {}); // the disk is full: it works today
    return bytes;
  } catch (error) {
    const kept = await cache?.match(url);
    if (!kept) throw error;
    return kept.arrayBuffer();
  }
}
