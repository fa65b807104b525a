// Runs plans on the browser's own WebNN. It knows no operator: it calls the builder's methods that
// a plan names, in order, and moves bytes. What to call, with which spelling, and whether the
// browser gets it right is decided in Python; the plan's form is in targets/webnn/plan.py.
// Constants belong to one builder: another shape of the same model sends its weights again
// (constant tensors, which would outlive it, are in the specification and in no browser yet).

/**
 * @typedef {{code: string, what: string, got?: string, need?: string, where?: string, fix?: string}} Failure
 * @typedef {{dataType: string, shape: number[], readable?: boolean, writable?: boolean}} Descriptor
 * @typedef {(start: number, nbytes: number) => Promise<Uint8Array>} BytesAt
 */

/** @param {string} code @param {string} what @param {Partial<Failure>} rest @returns {Failure} */
const failure = (code, what, rest = {}) => ({ code, what, ...rest });

// navigator.ml is younger than TypeScript's DOM library.
const scope = /** @type {any} */ (globalThis);

class Device {
  /** @param {any} context */
  constructor(context) {
    this.context = context;
    /** @type {Failure | null} */
    this.lost = null;
    context.lost.then((/** @type {{message: string}} */ info) => {
      this.lost = failure("DeviceLostError", "the WebNN context", { got: info.message });
    });
  }

  /** Throws when the context is gone. */
  check() {
    if (this.lost) throw this.lost;
  }

  close() {
    this.context.destroy();
  }
}

/**
 * A context, and what it says of itself: its limits, and which members of its options each method
 * reads, since those that it does not know it ignores without a word. Throws NoDeviceError.
 * @param {string} deviceType  "cpu", "gpu" or "npu"
 * @param {string} probes  JSON: [method, args][], calls that reach the options dictionary
 * @returns {Promise<{handle: Device, facts: object}>}
 */
export async function open(deviceType, probes) {
  const ml = scope.navigator.ml;
  const need = "a browser with WebNN that has a backend for this machine";
  const fix = "enable WebNN in the browser's flags, or choose another target";
  if (!ml) throw failure("NoDeviceError", "WebNN", { got: "no navigator.ml", need, fix });
  try {
    const context = await ml.createContext({ deviceType });
    const options = Object.fromEntries(JSON.parse(probes).map(
      (/** @type {[string, any[]]} */ [method, args]) => [method, members(context, method, args)]));
    const facts = { target: "webnn", device_type: deviceType, browser: scope.navigator.userAgent,
      operators: context.opSupportLimits(), options };
    return { handle: new Device(context), facts };
  } catch (error) {
    throw failure("NoDeviceError", "WebNN", { got: String(error), need, fix });
  }
}

/**
 * The members of a method's options that this browser reads; null where it has no such method.
 * @param {any} context @param {string} method @param {any[]} args
 */
function members(context, method, args) {
  const builder = new scope.MLGraphBuilder(context);
  if (!(method in builder)) return null;
  const operands = [builder.input("x", { dataType: "float32", shape: [1] })];
  /** @type {Set<string>} */
  const read = new Set();
  const spy = new Proxy({}, { get: (_, name) => void read.add(String(name)) });
  try {
    builder[method](...revived(args, operands), spy);
  } catch {
    // the arguments mean nothing; only the reading counts
  }
  return [...read];
}

class Executable {
  /** @param {Device} device @param {any} plan */
  constructor(device, plan) {
    this.device = device;
    this.plan = plan;
    /** @type {any} */
    this.graph = null;
    /** @type {Record<string, any>} */
    this.inputs = {};
    /** @type {Record<string, any>} */
    this.outputs = {};
    this.nbytes = 0; // of constants, inputs and outputs; what WebNN holds besides, it does not say
    this.peak = 0;
  }

  /** @param {BytesAt} bytesAt @param {(done: number, total: number) => void} onProgress */
  async build(bytesAt, onProgress) {
    const { plan, device: { context } } = this;
    const builder = new scope.MLGraphBuilder(context);
    /** @type {any[]} */
    const operands = [];
    for (const [id, name, dataType, shape] of plan.inputs) {
      operands[id] = builder.input(name, { dataType, shape });
      this.inputs[name] = await this.tensor({ dataType, shape, writable: true });
    }
    const total = plan.constants.reduce(
      (/** @type {number} */ sum, /** @type {any[]} */ [, , , from]) => sum + (from[1] || 0), 0);
    let done = 0;
    for (const [id, dataType, shape, from, form] of plan.constants) {
      const inline = typeof from === "string";
      const bytes = inline ? Uint8Array.from(atob(from), (c) => c.charCodeAt(0))
        : await bytesAt(from[0], from[1]);
      const buffer = FORMS[form](bytes);
      operands[id] = builder.constant({ dataType, shape }, buffer);
      this.nbytes += buffer.byteLength;
      if (!inline) onProgress(done += bytes.byteLength, total);
    }
    for (const [method, args, options, ids] of plan.calls) {
      const made = builder[method](...revived(args, operands), revived(options, operands));
      [made].flat().forEach((operand, i) => { operands[ids[i]] = operand; });
    }
    this.graph = await builder.build(Object.fromEntries(
      plan.outputs.map((/** @type {[string, number]} */ [name, id]) => [name, operands[id]])));
    for (const [name, id] of plan.outputs) {
      const { dataType, shape } = operands[id];
      this.outputs[name] = await this.tensor({ dataType, shape, readable: true });
    }
    this.peak = this.nbytes;
  }

  /** @param {Descriptor} descriptor */
  async tensor(descriptor) {
    const bits = Number(/\d+/.exec(descriptor.dataType)?.[0]);
    this.nbytes += Math.ceil(descriptor.shape.reduce((n, size) => n * size, bits) / 8);
    return this.device.context.createTensor(descriptor);
  }

  close() {
    for (const tensor of [...Object.values(this.inputs), ...Object.values(this.outputs)]) {
      tensor.destroy();
    }
    this.graph?.destroy();
  }
}

/** From a file's bytes to a constant's buffer. @type {Record<string, (bytes: Uint8Array) => ArrayBufferLike>} */
const FORMS = {
  // a copy where the bytes are part of a larger buffer: WebNN takes whole ones
  plain: (bytes) => bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer,
  // BF16 is the upper half of a float32
  bf16: (bytes) => Uint32Array.from(new Uint16Array(FORMS.plain(bytes)), (half) => half << 16).buffer,
};

/**
 * JSON as WebNN's arguments: {operand: id}, {number: "-Infinity"}, {bigint: "…"}, the rest as is.
 * @param {any} data @param {any[]} operands @returns {any}
 */
function revived(data, operands) {
  if (Array.isArray(data)) return data.map((each) => revived(each, operands));
  if (data === null || typeof data !== "object") return data;
  if ("operand" in data) return operands[data.operand];
  if ("number" in data) return Number(data.number);
  if ("bigint" in data) return BigInt(data.bigint);
  return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, revived(v, operands)]));
}

/**
 * Builds a plan's graph. Throws HostError with what WebNN said, what `bytesAt` throws.
 * @param {Device} device @param {string} planText @param {BytesAt} bytesAt
 * @param {(done: number, total: number) => void} onProgress  bytes of weights
 */
export async function load(device, planText, bytesAt, onProgress) {
  device.check();
  const plan = JSON.parse(planText);
  const executable = new Executable(device, plan);
  try {
    await executable.build(bytesAt, onProgress);
  } catch (/** @type {any} */ error) {
    executable.close();
    throw failed(device, error, `graph '${plan.name}'`);
  }
  return executable;
}

/** @param {Device} device @param {any} error @param {string} what @returns {any} */
function failed(device, error, what) {
  if (device.lost) return device.lost;
  return error instanceof Error ? failure("HostError", what, { got: String(error) }) : error;
}

/** An input by its public name. @param {Executable} e @param {string} name @param {Uint8Array} bytes */
export async function write(e, name, bytes) {
  e.device.check();
  // an input that the graph does not read has no tensor
  if (name in e.inputs) e.device.context.writeTensor(e.inputs[name], bytes);
}

/** The bytes of an output. @param {Executable} e @param {string} name */
export async function read(e, name) {
  e.device.check();
  try {
    return new Uint8Array(await e.device.context.readTensor(e.outputs[name]));
  } catch (error) {
    throw failed(e.device, error, `reading '${name}'`);
  }
}

/** Runs the graph once. @param {Executable} e */
export async function run(e) {
  e.device.check();
  try {
    e.device.context.dispatch(e.graph, e.inputs, e.outputs);
  } catch (error) {
    throw failed(e.device, error, `graph '${e.plan.name}'`);
  }
}

/** Frees what an executable holds, or the context. @param {Executable | Device} handle */
export async function close(handle) {
  handle.close();
}
