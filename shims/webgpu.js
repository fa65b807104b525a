// Runs plans on WebGPU. It knows no operator: it makes a plan's buffers and pipelines, repacks
// weights as their bytes arrive, runs steps, and loops over decode steps with several in flight.
// What to run and when to stop is decided in Python; the plan's form is in plan/plan.py.
// Twin: host/native.py over wgpu.

import { value } from "./count.js";
import { Held } from "./held.js";

/**
 * @typedef {import("./count.js").Count} Count
 * @typedef {{kernel: number, bindings: number[][], groups: Count[], origin: string}} Step
 * @typedef {[name: string, kind: string, nbytes: number]} Buffer
 * @typedef {{pipeline: GPUComputePipeline, group: GPUBindGroup, groups: Count[]}} Recorded
 * @typedef {{code: string, what: string, got?: string, need?: string, fix?: string}} Failure
 * @typedef {{tokens: Int32Array, past: number, maxNewTokens: number, stopIds: number[],
 *            uniforms: Float32Array, batch: number, inFlight: number}} Request
 */

const SLOTS = 64;
const SLOT_STRIDE = 256; // minUniformBufferOffsetAlignment's default limit
const QUEUED_BYTES = 32 << 20; // writes wait in host memory until the queue takes them
const LIMITS = [
  "maxBufferSize", "maxStorageBufferBindingSize", "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
];
const KEPT_BYTES = 4 << 20; // of a buffer that outputs are read through
const FEATURES = /** @type {GPUFeatureName[]} */ (["shader-f16", "subgroups", "timestamp-query"]);

/** @param {string} code @param {string} what @param {Partial<Failure>} rest @returns {Failure} */
const failure = (code, what, rest = {}) => ({ code, what, ...rest });

class Device {
  /** @param {GPUDevice} gpu @param {object} facts */
  constructor(gpu, facts) {
    this.gpu = gpu;
    this.facts = facts;
    /** @type {Failure | null} */
    this.lost = null;
    gpu.lost.then((info) => {
      this.lost = failure("DeviceLostError", "the GPU device", { got: info.message || info.reason });
    });
  }

  close() {
    this.gpu.destroy();
  }

  /** Throws when the device is gone. */
  check() {
    if (this.lost) throw this.lost;
  }
}

/**
 * A device with what the adapter offers of the features and limits that plans use.
 * Throws NoDeviceError.
 * @returns {Promise<{handle: Device, facts: object}>}
 */
export async function open() {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw failure("NoDeviceError", "WebGPU", {
      got: navigator.gpu ? "no adapter" : "no navigator.gpu",
      need: "a browser and a driver with WebGPU",
    });
  }
  const features = FEATURES.filter((name) => adapter.features.has(name));
  /** @type {Record<string, number>} */
  const limits = {};
  for (const name of LIMITS) limits[name] = Number(Reflect.get(adapter.limits, name));
  const gpu = await adapter.requestDevice({ requiredFeatures: features, requiredLimits: limits });
  const info = adapter.info;
  const name = info.description || info.device || `${info.vendor} ${info.architecture}`.trim();
  const facts = {
    target: "webgpu",
    name: name || "unnamed adapter",
    features,
    limits,
    subgroup_min: info.subgroupMinSize ?? 0,
    subgroup_max: info.subgroupMaxSize ?? 0,
    // Firefox on Linux gives software adapters no flag; their names are known.
    fallback: info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|software/i.test(
      `${name} ${info.vendor} ${info.architecture} ${info.device}`),
  };
  return { handle: new Device(gpu, facts), facts };
}

class Executable {
  /** @param {Device} device @param {any} plan */
  constructor(device, plan) {
    this.device = device;
    this.gpu = device.gpu;
    this.plan = plan;
    const [symbols, inputs, draw, nbytes] = plan.slot;
    this.slot = { symbols, inputs, draw, nbytes };
    /** @type {Record<string, Uint8Array>} */
    this.small = {};
    for (const [input, [, size]] of Object.entries(inputs)) this.small[input] = new Uint8Array(size);
    /** The plan's buffers in its order; staging only where there is something to upload. */
    this.buffers = /** @type {GPUBuffer[]} */ ([]);
    /** Those of them that no other plan can have, and the slots. @type {Set<GPUBuffer>} */
    this.own = new Set();
    /** @type {Held<GPUBuffer>} */
    this.weights = new Held();
    /** Weights that no other plan has brought. @type {any[]} */
    this.uploads = [];
    /** @type {GPUComputePipeline[]} */
    this.pipelines = [];
    /** @type {Map<string, GPUBindGroupLayout>} */
    this.layouts = new Map();
    /** @type {Record<string, Recorded[]>} */
    this.programs = {};
    /** @type {GPUBuffer[]} */
    this.readers = [];
    /** @type {Map<string, GPUBuffer>} */
    this.outlets = new Map();
    this.closed = false;
    this.cancelled = false;
    /** The most device memory that was held at once. */
    this.peak = 0;
  }

  /** Device memory that is held now, less the weights that another plan holds longer. */
  get nbytes() {
    let total = this.weights.nbytes;
    for (const buffer of this.own) total += buffer.size;
    return total;
  }

  /** All buffers but for weights that one of `others` has. @param {Executable[]} others */
  allocate(others) {
    const { gpu, plan, own, weights } = this;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const held = others.map((each) => each.weights);
    const shared = plan.buffers.map((/** @type {Buffer} */ [name, kind, size]) =>
      kind === "weights" ? weights.share(name, size, held) : null);
    this.uploads = plan.weights.filter((/** @type {any} */ [, , , steps]) =>
      steps.some((/** @type {any} */ step) => this.written(step).some((index) => !shared[index])));
    this.buffers = plan.buffers.map((/** @type {Buffer} */ [label, kind, size], /** @type {number} */ i) => {
      if (shared[i] || (kind === "staging" && !this.uploads.length)) return shared[i];
      const buffer = gpu.createBuffer({ label, size: Math.max(size, 4), usage });
      if (kind === "weights") weights.add(label, buffer);
      else own.add(buffer);
      return buffer;
    });
    this.slots = gpu.createBuffer({
      size: SLOTS * SLOT_STRIDE, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    own.add(this.slots);
    this.peak = this.nbytes;
  }

  /** The numbers of the buffers that a step fills. @param {[number, number[][]]} step */
  written([kernel, bindings]) {
    const access = this.plan.kernels[kernel][2];
    return bindings.filter((_, i) => access[i] === "write").map(([buffer]) => buffer);
  }

  /** Buffers, then every pipeline at once. Throws QuotaError, HostError. @param {Executable[]} others */
  async prepare(others) {
    const { gpu, plan } = this;
    gpu.pushErrorScope("out-of-memory");
    this.allocate(others);
    const short = await gpu.popErrorScope();
    if (short) {
      throw failure("QuotaError", "GPU memory", { got: short.message,
        fix: "choose a smaller context or a smaller model" });
    }
    this.slotLayout = gpu.createBindGroupLayout({ entries: [{ binding: 0,
      visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } }] });
    this.slotGroup = gpu.createBindGroup({ layout: this.slotLayout, entries: [{ binding: 0,
      resource: { buffer: /** @type {GPUBuffer} */ (this.slots), size: this.slot.nbytes } }] });
    this.pipelines = await Promise.all(plan.kernels.map((/** @type {any} */ k) => this.pipeline(k)));
    for (const [program, steps] of Object.entries(plan.programs)) {
      this.programs[program] = steps.map((/** @type {any} */ step) => this.record(step));
    }
  }

  /** @param {string[]} access */
  layout(access) {
    const key = access.join();
    let layout = this.layouts.get(key);
    if (!layout) {
      layout = this.gpu.createBindGroupLayout({ entries: access.map((a, binding) => ({
        binding, visibility: GPUShaderStage.COMPUTE,
        buffer: { type: a === "read" ? "read-only-storage" : "storage" } })) });
      this.layouts.set(key, layout);
    }
    return layout;
  }

  /** @param {[string, string, string[], Record<string, number>]} kernel */
  async pipeline([label, code, access, constants]) {
    const { gpu } = this;
    const layout = gpu.createPipelineLayout({
      bindGroupLayouts: [this.layout(access), /** @type {GPUBindGroupLayout} */ (this.slotLayout)] });
    const module = gpu.createShaderModule({ label, code });
    try {
      return await gpu.createComputePipelineAsync({
        label, layout, compute: { module, entryPoint: "main", constants } });
    } catch (error) {
      const notes = (await module.getCompilationInfo()).messages
        .map((m) => `${m.lineNum}: ${m.message}`).join("; ");
      throw failure("HostError", `kernel '${label}'`, { got: notes || String(error) });
    }
  }

  /** @param {[number, number[][], Count[], string]} step */
  record([kernel, bindings, groups]) {
    const access = this.plan.kernels[kernel][2];
    const group = this.gpu.createBindGroup({
      layout: this.layout(access),
      entries: bindings.map(([buffer, offset, size], binding) => ({
        binding, resource: { buffer: this.buffers[buffer], offset, size } })),
    });
    return { pipeline: this.pipelines[kernel], group, groups };
  }

  /**
   * @param {GPUCommandEncoder} encoder @param {Recorded[]} steps
   * @param {Record<string, number>} bindings @param {number} slot
   */
  encode(encoder, steps, bindings, slot) {
    const pass = encoder.beginComputePass();
    pass.setBindGroup(1, /** @type {GPUBindGroup} */ (this.slotGroup), [slot * SLOT_STRIDE]);
    /** @type {GPUComputePipeline | null} */
    let last = null;
    for (const { pipeline, group, groups } of steps) {
      if (pipeline !== last) pass.setPipeline(pipeline);
      last = pipeline;
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(value(groups[0], bindings), value(groups[1], bindings),
        value(groups[2], bindings));
    }
    pass.end();
  }

  /** @param {number} slot @param {Record<string, number>} bindings @param {number} [uniform] */
  writeSlot(slot, bindings, uniform) {
    const data = new DataView(new ArrayBuffer(this.slot.nbytes));
    this.slot.symbols.forEach((/** @type {string} */ name, /** @type {number} */ i) =>
      data.setUint32(4 * i, bindings[name] ?? 1, true));
    for (const [name, [offset]] of Object.entries(this.slot.inputs)) {
      new Uint8Array(data.buffer).set(this.small[name], offset);
    }
    if (uniform !== undefined && this.slot.draw >= 0) {
      data.setFloat32(this.slot.draw, uniform, true);
    }
    this.gpu.queue.writeBuffer(
      /** @type {GPUBuffer} */ (this.slots), slot * SLOT_STRIDE, data.buffer);
  }

  /**
   * Queues runs of a program, each in a slot of its own, and copies the token of each out.
   * @param {string} program @param {{bindings: Record<string, number>, uniform: number}[]} runs
   */
  submit(program, runs) {
    const [buffer, offset] = this.plan.values.token;
    const reader = this.readers.pop() ?? this.gpu.createBuffer({
      size: 4 * SLOTS, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.gpu.createCommandEncoder();
    runs.forEach(({ bindings, uniform }, slot) => {
      this.writeSlot(slot, bindings, uniform);
      this.encode(encoder, this.programs[program], bindings, slot);
      encoder.copyBufferToBuffer(this.buffers[buffer], offset, reader, 4 * slot, 4);
    });
    this.gpu.queue.submit([encoder.finish()]);
    return { reader, n: runs.length, mapped: reader.mapAsync(GPUMapMode.READ, 0, 4 * runs.length) };
  }

  /** @param {{reader: GPUBuffer, n: number, mapped: Promise<undefined>}} pending */
  async take({ reader, n, mapped }) {
    try {
      await mapped;
      const tokens = new Int32Array(reader.getMappedRange(0, 4 * n).slice(0));
      reader.unmap();
      this.readers.push(reader);
      return tokens;
    } catch (error) { // a device that is lost unmaps what was mapped
      await Promise.race([this.gpu.lost, null]);
      throw this.device.lost ?? failure("DeviceLostError", "reading tokens", { got: String(error) });
    }
  }

  /**
   * A buffer to read a value through: the one of the last read, where that is large enough.
   * Making one takes longer than a small model's run.
   * @param {string} name @param {number} nbytes
   */
  outlet(name, nbytes) {
    const kept = this.outlets.get(name);
    this.outlets.delete(name); // while it is mapped no other read may have it
    if (kept && kept.size >= nbytes) return kept;
    kept?.destroy();
    return this.gpu.createBuffer({
      size: nbytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  }

  /** Keeps a small buffer for the next read. @param {string} name @param {GPUBuffer} reader */
  putBack(name, reader) {
    if (this.closed || reader.size > KEPT_BYTES || this.outlets.has(name)) reader.destroy();
    else this.outlets.set(name, reader);
  }

  /** Frees the device memory that no other plan uses. */
  close() {
    this.closed = true;
    for (const buffer of [...this.own, ...this.readers, ...this.outlets.values()]) buffer.destroy();
    this.own.clear();
    this.weights.close();
  }
}

/**
 * Loads a plan: makes its buffers and pipelines and brings its weights, an upload at a time.
 * @param {Device} device @param {string} planJson
 * @param {(start: number, nbytes: number) => Promise<Uint8Array>} bytesAt  reads the model file
 * @param {(done: number, total: number) => void} onProgress
 * @param {Executable[]} [others]  plans of the same file on this device, whose weights stay theirs
 * @returns {Promise<Executable>}
 */
export async function load(device, planJson, bytesAt, onProgress, others = []) {
  device.check();
  const executable = new Executable(device, JSON.parse(planJson));
  try {
    await executable.prepare(others);
    await upload(executable, bytesAt, onProgress);
    device.check();
  } catch (error) {
    executable.close();
    throw device.lost ?? error;
  }
  return executable;
}

/**
 * @param {Executable} executable
 * @param {(start: number, nbytes: number) => Promise<Uint8Array>} bytesAt
 * @param {(done: number, total: number) => void} onProgress
 */
async function upload(executable, bytesAt, onProgress) {
  const { gpu, plan, buffers, own, uploads } = executable;
  const staging = buffers[plan.buffers.findIndex((/** @type {any[]} */ b) => b[1] === "staging")];
  const total = uploads.reduce((n, w) => n + w[2], 0);
  for (const [[buffer, offset], text] of plan.inline) {
    put(gpu, buffers[buffer], offset, Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  }
  let done = 0;
  let waiting = 0;
  onProgress(0, total); // kernels come first
  for (const [, start, nbytes, steps] of uploads) {
    put(gpu, staging, 0, await bytesAt(start, nbytes));
    const encoder = gpu.createCommandEncoder();
    executable.encode(encoder, steps.map((/** @type {any} */ s) => executable.record(s)), {}, 0);
    gpu.queue.submit([encoder.finish()]);
    done += nbytes;
    waiting += nbytes;
    onProgress(done, total);
    if (waiting > QUEUED_BYTES) {
      await gpu.queue.onSubmittedWorkDone();
      waiting = 0;
    }
  }
  await gpu.queue.onSubmittedWorkDone();
  if (staging) {
    staging.destroy();
    own.delete(staging);
  }
}

/** @param {GPUDevice} gpu @param {GPUBuffer} buffer @param {number} at @param {Uint8Array} bytes */
function put(gpu, buffer, at, bytes) {
  let whole = bytes;
  if (bytes.byteLength % 4) {
    whole = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
    whole.set(bytes);
  }
  gpu.queue.writeBuffer(buffer, at, /** @type {Uint8Array<ArrayBuffer>} */ (whole));
}

/** An input or state by its public name. @param {Executable} e @param {string} name @param {Uint8Array} bytes */
export async function write(e, name, bytes) {
  e.device.check();
  if (e.small[name]) {
    e.small[name].fill(0);
    e.small[name].set(bytes);
    return;
  }
  const [buffer, offset] = e.plan.values[name];
  put(e.gpu, e.buffers[buffer], offset, bytes);
}

/**
 * The bytes of an input, output or state, or the first of them, in whole words.
 * @param {Executable} e @param {string} name @param {number} [wanted]
 */
export async function read(e, name, wanted) {
  e.device.check();
  const [buffer, offset, all] = e.plan.values[name];
  const nbytes = Math.min(4 * Math.ceil((wanted ?? all) / 4), all);
  const reader = e.outlet(name, nbytes);
  const encoder = e.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(e.buffers[buffer], offset, reader, 0, nbytes);
  e.gpu.queue.submit([encoder.finish()]);
  try {
    await reader.mapAsync(GPUMapMode.READ, 0, nbytes);
    const bytes = new Uint8Array(reader.getMappedRange(0, nbytes).slice(0));
    reader.unmap();
    e.putBack(name, reader);
    return bytes;
  } catch (error) {
    reader.destroy();
    throw e.device.lost ?? failure("DeviceLostError", `reading '${name}'`, { got: String(error) });
  }
}

/** Zeroes a state. @param {Executable} e @param {string} name */
export async function clear(e, name) {
  e.device.check();
  const [buffer, offset, nbytes] = e.plan.values[name];
  const encoder = e.gpu.createCommandEncoder();
  encoder.clearBuffer(e.buffers[buffer], offset, nbytes);
  e.gpu.queue.submit([encoder.finish()]);
}

/** Runs one program once. @param {Executable} e @param {string} program @param {Record<string, number>} bindings */
export async function run(e, program, bindings) {
  e.device.check();
  e.writeSlot(0, bindings);
  const encoder = e.gpu.createCommandEncoder();
  e.encode(encoder, e.programs[program], bindings, 0);
  e.gpu.queue.submit([encoder.finish()]);
}

/**
 * Reads the request's tokens, then makes new ones until a stop token, the count, or `cancel`.
 * @param {Executable} e @param {Request} request @param {(tokens: Int32Array) => void} onTokens
 * @returns {Promise<void>}
 */
export async function generate(e, request, onTokens) {
  e.device.check();
  e.cancelled = false;
  const { tokens, maxNewTokens, stopIds, uniforms, batch, inFlight } = request;
  const chunk = e.plan.symbols.seq;
  let past = request.past;
  const pending = [];
  for (let at = 0; at < tokens.length && !e.cancelled; at += chunk) {
    const part = tokens.slice(at, at + chunk);
    await write(e, "tokens", new Uint8Array(part.buffer));
    const read = e.submit(part.length > 1 ? "prefill" : "decode", // one is read as fast as it is made
      [{ bindings: { seq: part.length, past }, uniform: uniforms[0] }]);
    past += part.length;
    if (at + chunk >= tokens.length) pending.push(read);
    else await e.take(read);
  }
  let submitted = pending.length;
  let taken = 0;
  while (pending.length || (submitted < maxNewTokens && !e.cancelled)) {
    while (submitted < maxNewTokens && submitted - taken <= inFlight && !e.cancelled) {
      const n = Math.min(batch, maxNewTokens - submitted, SLOTS);
      const runs = [];
      for (let i = 0; i < n; i++) {
        runs.push({ bindings: { seq: 1, past: past + i }, uniform: uniforms[submitted + i] });
      }
      pending.push(e.submit("decode", runs));
      past += n;
      submitted += n;
    }
    const made = await e.take(/** @type {any} */ (pending.shift()));
    taken += made.length;
    const stop = made.findIndex((token) => stopIds.includes(token));
    onTokens(stop < 0 ? made : made.slice(0, stop + 1));
    if (stop >= 0 || e.cancelled) {
      await Promise.all(pending.map((read) => e.take(read)));
      return;
    }
  }
}

/** The running `generate` ends after what is in flight. @param {Executable} e */
export function cancel(e) {
  e.cancelled = true;
}

/** Frees what an executable holds, or the device. @param {Executable | Device} handle */
export async function close(handle) {
  handle.close();
}
