// Runs plans on the CPU, with the functions of shims/webgpu.js. The work is done in threads of its
// own: the first one (wasm_worker.js), which knows the plans, and its helpers (wasm_helper.js). Here
// calls become messages, so a step of any length blocks nobody. When one of the threads is gone, the
// device is lost; the next one that is opened has one thread.
// Twin: host/wasm.py over wasmtime.

import { startThread } from "./threads.js";
import { choose } from "./wasm_detect.js";
import { watch } from "./wasm_life.js";
import { compiled } from "./wasm_module.js";

/**
 * @typedef {{code: string, what: string, got?: string, need?: string, fix?: string}} Failure
 * @typedef {(start: number, nbytes: number) => Promise<Uint8Array>} BytesAt
 * @typedef {{resolve: (value: any) => void, reject: (error: any) => void,
 *            heard: (data: any) => void}} Call
 * @typedef {{tokens: Int32Array, past: number, maxNewTokens: number, stopIds: number[],
 *            uniforms: Float32Array, batch: number, inFlight: number}} Request
 */

const PAGE = 1 << 16;
const START_MS = 15_000; // a thread that takes longer to start never will

/** Why this page is to use one thread. @type {string | null} */
let single = null;

class Device {
  constructor() {
    /** @type {Failure | null} */
    this.lost = null;
    /** @type {import("./threads.js").Thread[]} */
    this.threads = [];
    this.ended = new AbortController();
    /** @type {Map<number, Call>} */
    this.calls = new Map();
    this.count = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.late = undefined;
    /** @type {Map<number, Executable>} */
    this.plans = new Map();
  }

  /** Starts the threads. @param {WebAssembly.Module} code @param {import("./wasm_detect.js").Choice} choice */
  async start(code, { module, threads }) {
    const shared = module === "threads";
    this.late = setTimeout(() => this.lose("the threads did not start"), START_MS);
    const first = this.spawn("wasm_worker.js", "the first thread");
    first.port.onmessage = ({ data }) => this.hear(data);
    const { memory, stacks, maximum } = await this.call("open", [code, shared, threads - 1, first.lock]);
    this.watch(first);
    await Promise.all(stacks.map(async (/** @type {number} */ stack) => {
      const helper = this.spawn("wasm_helper.js", "a helper thread");
      await this.answer((resolve) => {
        helper.port.onmessage = resolve;
        helper.port.postMessage({ code, memory, stack, lock: helper.lock });
      });
      this.watch(helper);
    }));
    clearTimeout(this.late);
    return maximum;
  }

  /** @param {string} script @param {string} what */
  spawn(script, what) {
    const thread = startThread(new URL(script, import.meta.url).href, what,
      (why) => this.lose(`${what} ended: ${why}`));
    this.threads.push(thread);
    return { port: thread.port, what, lock: `edgewise wasm ${globalThis.crypto.randomUUID?.()}` };
  }

  /** @param {{what: string, lock: string}} thread */
  watch({ what, lock }) {
    watch(lock, this.ended.signal, () => this.lose(`${what} is gone`));
  }

  /** A call's answer, unless the device is lost before. @param {(resolve: (value: any) => void, id: number) => void} ask @param {(data: any) => void} [heard] */
  answer(ask, heard = () => {}) {
    if (this.lost) return Promise.reject(this.lost);
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject, heard });
      ask((value) => {
        this.calls.delete(id);
        resolve(value);
      }, id);
    });
  }

  /** @param {string} call @param {any[]} args @param {Transferable[]} [transfer] @param {(data: any) => void} [heard] */
  call(call, args, transfer = [], heard) {
    return this.answer((_, id) => this.threads[0].port.postMessage({ id, call, args }, transfer), heard);
  }

  /** A message of the first thread. @param {any} data */
  hear(data) {
    const call = this.calls.get(data.id);
    if (!call) return;
    if ("error" in data || "value" in data) this.calls.delete(data.id);
    if (data.error?.code === "DeviceLostError") this.lose(data.error.got);
    if ("error" in data) call.reject(this.lost ?? data.error);
    else if ("value" in data) call.resolve(data.value);
    else call.heard(data);
  }

  /** @param {string} got */
  lose(got) {
    if (this.lost) return;
    this.lost = { code: "DeviceLostError", what: "Wasm", got, need: "all threads alive",
      fix: "open the device again" };
    if (this.threads.length > 1) single = "a thread was lost";
    this.close();
  }

  close() {
    clearTimeout(this.late);
    this.lost ??= { code: "DeviceLostError", what: "Wasm", got: "it was closed" };
    this.ended.abort();
    for (const { port, end } of this.threads) {
      port.close();
      end();
    }
    for (const { reject } of this.calls.values()) reject(this.lost);
    this.calls.clear();
  }

  /** @param {[number, number][]} sizes */
  resize(sizes) {
    for (const [id, nbytes] of sizes) {
      const plan = this.plans.get(id);
      if (plan) plan.nbytes = nbytes;
    }
  }
}

/** A plan that the first thread has; `values` are the sizes of its inputs, outputs and states. */
class Executable {
  /** @param {Device} device @param {number} id @param {{peak: number, values: Record<string, number>}} loaded */
  constructor(device, id, { peak, values }) {
    this.device = device;
    this.id = id;
    this.peak = peak;
    this.values = values;
    this.nbytes = 0;
  }

  async close() {
    if (this.device.lost) return;
    const { sizes } = await this.device.call("close", [this.id]);
    this.device.plans.delete(this.id);
    this.device.resize(sizes);
  }
}

/**
 * A device with the best module that this browser runs, or the one asked for.
 * Throws NoDeviceError, QuotaError, HostError.
 * @param {{module?: string, threads?: number}} [wanted]
 * @returns {Promise<{handle: Device, facts: object}>}
 */
export async function open(wanted = {}) {
  const choice = choose(wanted, single);
  const code = await compiled(choice.module);
  const handle = new Device();
  try {
    const most = (await handle.start(code, choice)) * PAGE - PAGE;
    const facts = {
      target: "wasm",
      name: choice.name,
      features: choice.module === "simd" ? ["simd"] : ["simd", "relaxed-simd"],
      limits: { maxBufferSize: most, maxStorageBufferBindingSize: most, threads: choice.threads },
      subgroup_min: 0,
      subgroup_max: 0,
      fallback: false,
    };
    return { handle, facts };
  } catch (error) {
    handle.close();
    if (choice.threads === 1 || wanted.threads) throw error;
    single = "its threads did not start";
    return open(wanted);
  }
}

/**
 * Loads a plan: makes its buffers and brings its weights, an upload at a time.
 * Throws QuotaError, HostError, DeviceLostError, and what `bytesAt` throws.
 * @param {Device} device @param {string} planJson
 * @param {BytesAt} bytesAt  reads the model file
 * @param {(done: number, total: number) => void} onProgress
 * @param {Executable[]} [others]  plans of the same file on this device, whose weights stay theirs
 * @returns {Promise<Executable>}
 */
export async function load(device, planJson, bytesAt, onProgress, others = []) {
  const id = device.count + 1;
  let read = Promise.resolve(); // one after another: the bytes of two are in memory at most
  /** @param {any} data */
  const heard = ({ want, ask, progress }) => {
    if (progress) onProgress(progress[0], progress[1]);
    else read = read.then(() => give(device, id, want, ask, bytesAt));
  };
  const loaded = await device.call("load", [planJson, others.map((each) => each.id)], [], heard);
  const executable = new Executable(device, id, loaded);
  device.plans.set(id, executable);
  device.resize(loaded.sizes);
  return executable;
}

/** @param {Device} device @param {number} id @param {[number, number]} want @param {number} ask @param {BytesAt} bytesAt */
async function give(device, id, [start, nbytes], ask, bytesAt) {
  try {
    const bytes = (await bytesAt(start, nbytes)).slice(); // it may be a part of what is kept there
    device.threads[0].port.postMessage({ ask, bytes }, [bytes.buffer]);
  } catch (error) {
    device.calls.get(id)?.reject(error);
    device.threads[0].port.postMessage({ ask, unread: { code: "StoreError", what: "a model file's bytes" } });
  }
}

/** An input or state by its public name. @param {Executable} e @param {string} name @param {Uint8Array} bytes */
export async function write(e, name, bytes) {
  if (bytes.length > e.values[name]) {
    throw { code: "InputError", what: `input '${name}'`, got: `${bytes.length} bytes`,
      need: `at most ${e.values[name]}` };
  }
  const copy = bytes.slice();
  await e.device.call("write", [e.id, name, copy], [copy.buffer]);
}

/** The bytes of an input, output or state, or the first of them. @param {Executable} e @param {string} name @param {number} [wanted] */
export async function read(e, name, wanted) {
  return e.device.call("read", [e.id, name, wanted]);
}

/** Zeroes a state. @param {Executable} e @param {string} name */
export async function clear(e, name) {
  await e.device.call("clear", [e.id, name]);
}

/** Runs one program once. @param {Executable} e @param {string} program @param {Record<string, number>} bindings */
export async function run(e, program, bindings) {
  await e.device.call("run", [e.id, program, bindings]);
}

/**
 * Reads the request's tokens, then makes new ones until a stop token, the count, or `cancel`.
 * @param {Executable} e @param {Request} request @param {(tokens: Int32Array) => void} onTokens
 */
export async function generate(e, request, onTokens) {
  await e.device.call("generate", [e.id, request], [],
    ({ tokens }) => onTokens(Int32Array.from(tokens)));
}

/** The running `generate` ends after the step in flight. @param {Executable} e */
export function cancel(e) {
  e.device.call("cancel", [e.id]).catch(() => {}); // what is lost is over as well
}

/** Frees what an executable holds, or ends the device. @param {Executable | Device} handle */
export async function close(handle) {
  await handle.close();
}
