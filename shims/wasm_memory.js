// One Wasm module over one linear memory: instances of it, its kernels' places in the table, and the
// allocator. Twin: host/wasm_threads.py and the device of host/wasm.py.

import { Arena } from "./arena.js";

/** @typedef {{code: string, what: string, got?: string, need?: string, fix?: string}} Failure */

export const PAGE = 1 << 16;
export const STACK_BYTES = 1 << 20; // of each helper
const FIRST_PAGES = 64;
const MOST_PAGES = [65535, 32768, 16384]; // phones refuse to reserve 4 GiB for a shared memory
const OWN = new Set(["run", "help", "leave", "fail"]); // exported functions that are no kernels

/**
 * An instance whose table holds all kernels, at the same places in every thread.
 * @param {WebAssembly.Module} code @param {WebAssembly.Memory} memory
 */
export function instantiate(code, memory) {
  const { exports } = new WebAssembly.Instance(code, { env: { memory } });
  const names = WebAssembly.Module.exports(code)
    .filter(({ name, kind }) => kind === "function" && !OWN.has(name)).map(({ name }) => name);
  const table = /** @type {WebAssembly.Table} */ (exports.__indirect_function_table);
  const first = table.grow(names.length);
  names.forEach((name, i) => table.set(first + i, exports[name]));
  return { exports: /** @type {any} */ (exports), kernels: new Map(names.map((name, i) => [name, first + i])) };
}

/** A memory with the largest limit that the browser grants. @param {boolean} shared */
function reserve(shared) {
  for (const maximum of MOST_PAGES) {
    try {
      return { maximum, memory: new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared }) };
    } catch (error) {
      if (maximum === MOST_PAGES.at(-1)) throw short(`no memory to begin with: ${error}`, maximum);
    }
  }
  throw new Error("unreachable");
}

/** @param {string} got @param {number} pages @returns {Failure} */
const short = (got, pages) => ({ code: "QuotaError", what: "Wasm memory", got,
  need: `room within ${pages >> 14} GiB, and in this browser`,
  fix: "close other tabs, or choose a smaller context or a smaller model" });

/** The memory and the first thread's instance. */
export class WasmMemory {
  /** @param {WebAssembly.Module} code @param {boolean} shared */
  constructor(code, shared) {
    const { memory, maximum } = reserve(shared);
    this.memory = memory;
    this.maximum = maximum;
    const { exports, kernels } = instantiate(code, memory);
    this.exports = exports;
    this.kernels = kernels;
    this.bytes = new Uint8Array(memory.buffer);
    this.arena = new Arena(exports.__heap_base.value >>> 0, this.bytes.length);
  }

  /** The address of so many bytes. Throws QuotaError. @param {number} nbytes */
  take(nbytes) {
    const found = this.arena.take(nbytes);
    if (found !== null) return found;
    this.grow(this.arena.lacking(nbytes));
    return /** @type {number} */ (this.arena.take(nbytes));
  }

  /** @param {number} nbytes */
  grow(nbytes) {
    const pages = Math.ceil(nbytes / PAGE);
    try {
      this.memory.grow(pages);
    } catch (error) {
      throw short(`${nbytes} bytes more: ${error}`, this.maximum);
    }
    this.bytes = new Uint8Array(this.memory.buffer);
    this.arena.grow(pages * PAGE);
  }

  /**
   * Runs records in the memory. Throws DeviceLostError when a thread trapped or stopped: a step of
   * which somebody did a part can't be done again.
   * @param {number} steps  their address @param {number} n
   */
  run(steps, n) {
    let got = "a helper thread stopped answering";
    try {
      if (!this.exports.run(steps, n)) return;
    } catch (error) {
      got = `the first thread trapped: ${error}`;
    }
    throw { code: "DeviceLostError", what: "Wasm", got };
  }
}

/** A range of the memory, as shims/held.js has buffers. */
export class Range {
  /** @param {WasmMemory} memory @param {number} size */
  constructor(memory, size) {
    this.memory = memory;
    this.size = size;
    this.address = memory.take(size);
  }

  destroy() {
    this.memory.arena.give(this.address, this.size);
  }
}
