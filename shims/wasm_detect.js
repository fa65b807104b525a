// Which of the three Wasm modules a browser can run, and on how many threads.

/** @typedef {{module: string, threads: number, name: string}} Choice */

const MOST_THREADS = 8; // more wait for memory, and make a phone hot
const MODULES = ["simd", "relaxed", "threads"];

/** Whether a function of these instructions, which leave a vector, is valid. @param {number[]} code */
const valid = (...code) => WebAssembly.validate(new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0,
  10, code.length + 4, 1, code.length + 2, 0, ...code, 11,
])); // prettier-ignore

const SPLAT = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
const SWIZZLE = [0xfd, 0x80, 0x02]; // i8x16.relaxed_swizzle

/** @param {string} text @param {string} need */
const missing = (text, need) => ({ code: "NoDeviceError", what: "Wasm", got: text, need,
  fix: "use a newer browser, or a server" });

/** @param {number} threads @param {string} [why]  there are not more */
const named = (threads, why) =>
  `Wasm, ${threads} thread${threads > 1 ? "s" : ""}${why ? `: ${why}` : ""}`;

/**
 * The best module that runs here, or the one asked for. Throws NoDeviceError.
 * @param {{module?: string, threads?: number}} wanted
 * @param {string | null} failed  why threads are not to be tried again
 * @returns {Choice}
 */
export function choose(wanted, failed) {
  if (typeof WebAssembly !== "object") throw missing("no WebAssembly", "a browser with WebAssembly");
  if (!valid(...SPLAT)) throw missing("WebAssembly without SIMD", "128-bit SIMD");
  const relaxed = valid(...SPLAT, ...SPLAT, ...SWIZZLE);
  const isolated = globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function";
  const most = Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
  const why = failed ?? (isolated ? undefined : "the page is not cross-origin isolated");
  const several = relaxed && !why && (wanted.module ?? "threads") === "threads";
  const threads = wanted.threads ?? (several ? most : 1);
  const best = relaxed ? (threads > 1 ? "threads" : "relaxed") : "simd";
  const module = wanted.module ?? best;
  if (!MODULES.includes(module)) throw missing(`no module '${module}'`, MODULES.join(", "));
  if (module !== "simd" && !relaxed) throw missing("WebAssembly without relaxed SIMD", "relaxed SIMD");
  if (module === "threads" && !isolated) throw missing("no shared memory", "a page that is cross-origin isolated");
  if (module !== "threads" && threads > 1) throw missing(`module '${module}'`, "'threads' for more than one");
  return { module, threads, name: named(threads, threads > 1 || wanted.threads ? undefined : why) };
}
