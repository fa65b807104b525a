// A plan in Wasm memory. It knows no operator: it makes the plan's buffers, repacks weights as their
// bytes arrive, and writes the steps of each program as records that `run` (shims/wasm/run.c) reads.
// Twin: host/wasm.py.

import { value } from "./count.js";
import { Held } from "./held.js";
import { Range } from "./wasm_memory.js";

/**
 * @typedef {import("./wasm_memory.js").WasmMemory} WasmMemory
 * @typedef {import("./count.js").Count} Count
 * @typedef {[kernel: number, bindings: number[][], groups: Count[], origin: string,
 *            numbers: (number | Count)[]]} Step
 * @typedef {{address: number, n: number, patches: [number, Count][]}} Program
 */

const RECORD_WORDS = 4; // kernel, arguments, items, grain

export class Executable {
  /** @param {WasmMemory} memory @param {any} plan @param {Executable[]} others  whose weights it may use */
  constructor(memory, plan, others) {
    this.memory = memory;
    this.plan = plan;
    /** @type {Set<Range>} */
    this.own = new Set();
    /** @type {Held<Range>} */
    this.weights = new Held();
    /** @type {Range[]} */
    this.buffers = [];
    /** Buffers of weights that no other plan has. @type {Set<number>} */
    this.brought = new Set();
    /** @type {Record<string, Program>} */
    this.programs = {};
    this.ones = Object.fromEntries(Object.keys(plan.symbols).map((name) => [name, 1]));
    this.cancelled = false;
    this.peak = 0;
    try {
      this.allocate(others.map((each) => each.weights));
      for (const [name, steps] of Object.entries(plan.programs)) {
        this.programs[name] = this.record(/** @type {Step[]} */ (steps)).program;
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.peak = this.nbytes;
  }

  /** Memory that is held now, less the weights that another plan holds longer. */
  get nbytes() {
    let total = this.weights.nbytes;
    for (const range of this.own) total += range.size;
    return total;
  }

  /** @param {Held<Range>[]} others */
  allocate(others) {
    this.plan.buffers.forEach((/** @type {[string, string, number]} */ [name, kind, nbytes], /** @type {number} */ index) => {
      const size = Math.max(nbytes, 4);
      let range = kind === "weights" ? this.weights.share(name, size, others) : null;
      if (!range && kind === "weights") {
        range = new Range(this.memory, size);
        this.weights.add(name, range);
        this.brought.add(index);
      } else if (!range) {
        range = this.range(size);
        if (kind !== "staging") this.memory.bytes.fill(0, range.address, range.address + size);
      }
      this.buffers.push(range);
    });
  }

  /** @param {number} size */
  range(size) {
    const range = new Range(this.memory, size);
    this.own.add(range);
    return range;
  }

  /** @param {Range} range */
  free(range) {
    this.own.delete(range);
    range.destroy();
  }

  /** Steps as `run` reads them: a record each, then the arguments of all. @param {Step[]} steps */
  record(steps) {
    const { plan, memory } = this;
    /** @type {[number, Count][]} */
    const patches = [];
    const n = steps.reduce((sum, [, bindings, , , numbers]) => sum + bindings.length + numbers.length, 0);
    const words = new Uint32Array(RECORD_WORDS * steps.length + n);
    const range = this.range(Math.max(words.byteLength, 4));
    let at = RECORD_WORDS * steps.length;
    steps.forEach(([kernel, bindings, [items, grain], , numbers], i) => {
      const name = plan.kernels[kernel][0];
      const entry = memory.kernels.get(name);
      if (entry === undefined) {
        throw { code: "HostError", what: `kernel '${name}'`, got: "no such export",
          need: "a kernel of the module", fix: "build the modules again, or compile the plan again" };
      }
      const fixed = items[0].every(([terms]) => !Object.keys(terms).length);
      if (!fixed) patches.push([range.address + 4 * (RECORD_WORDS * i + 2), items]);
      words.set([entry, range.address + 4 * at, value(items, plan.symbols), value(grain, {})], RECORD_WORDS * i);
      for (const binding of bindings) words[at++] = this.address(binding);
      for (const number of numbers) {
        if (typeof number !== "number") patches.push([range.address + 4 * at, number]);
        words[at++] = typeof number === "number" ? number : 0;
      }
    });
    memory.bytes.set(new Uint8Array(words.buffer), range.address);
    return { range, program: { address: range.address, n: steps.length, patches } };
  }

  /** @param {number[]} binding */
  address([buffer, offset]) {
    return this.buffers[buffer].address + offset;
  }

  /** The numbers of the buffers that a step fills. @param {Step} step */
  written([kernel, bindings]) {
    const access = this.plan.kernels[kernel][2];
    return bindings.filter((_, i) => access[i] === "write").map(([buffer]) => buffer);
  }

  /**
   * Writes each weight's bytes to the staging buffer and runs its steps; the next one's bytes are
   * on their way meanwhile.
   * @param {(start: number, nbytes: number) => Promise<Uint8Array>} ask
   * @param {(done: number, total: number) => void} onProgress
   */
  async upload(ask, onProgress) {
    const { plan, memory } = this;
    for (const [binding, text] of plan.inline) {
      memory.bytes.set(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), this.address(binding));
    }
    const uploads = plan.weights.filter((/** @type {any} */ [, , , steps]) =>
      steps.some((/** @type {Step} */ step) => this.written(step).some((index) => this.brought.has(index))));
    const total = uploads.reduce((/** @type {number} */ n, /** @type {any} */ w) => n + w[2], 0);
    const staging = this.buffers[plan.buffers.findIndex((/** @type {any} */ b) => b[1] === "staging")];
    onProgress(0, total);
    let done = 0;
    let next = uploads.length ? ask(uploads[0][1], uploads[0][2]) : null;
    for (const [index, [, , nbytes, steps]] of uploads.entries()) {
      const bytes = /** @type {Uint8Array} */ (await next);
      const after = uploads[index + 1];
      next = after ? ask(after[1], after[2]) : null;
      next?.catch(() => {}); // it counts when its turn comes
      memory.bytes.set(bytes, staging.address);
      const { range, program } = this.record(steps);
      this.execute(program, {});
      this.free(range);
      onProgress(done += nbytes, total);
    }
    if (staging) this.free(staging);
  }

  /** @param {string} name @param {Uint8Array} bytes */
  write(name, bytes) {
    this.put(name, 0, bytes);
  }

  /** Writes a part of an input. @param {string} name @param {number} offset @param {Uint8Array} bytes */
  put(name, offset, bytes) {
    this.memory.bytes.set(bytes, this.address(this.plan.values[name]) + offset);
  }

  /** @param {string} name @param {number} [wanted] */
  read(name, wanted) {
    const binding = this.plan.values[name];
    const from = this.address(binding);
    return this.memory.bytes.slice(from, from + Math.min(wanted ?? binding[2], binding[2]));
  }

  /** @param {string} name */
  clear(name) {
    const binding = this.plan.values[name];
    const from = this.address(binding);
    this.memory.bytes.fill(0, from, from + binding[2]);
  }

  /** @param {string} program @param {Record<string, number>} bindings */
  run(program, bindings) {
    this.execute(this.programs[program], bindings);
  }

  /** @param {Program} program @param {Record<string, number>} bindings */
  execute({ address, n, patches }, bindings) {
    const words = new Uint32Array(this.memory.memory.buffer);
    const known = { ...this.ones, ...bindings };
    for (const [at, count] of patches) words[at / 4] = value(count, known);
    this.memory.run(address, n);
  }

  /** Frees the memory that no other plan uses. */
  close() {
    for (const range of this.own) range.destroy();
    this.own.clear();
    this.weights.close();
  }
}
