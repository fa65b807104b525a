// The first thread of a Wasm device, in a worker of its own: answers the calls of shims/wasm.js,
// which come through the port that it gets first.
//
//   {id, call, args}    ->  {id, value} or {id, error}
//   while it loads      ->  {id, want: [start, nbytes], ask}, then {ask, bytes} or {ask, unread}
//                       ->  {id, progress: [done, total]}
//   while it generates  ->  {id, tokens}
//
// A loaded plan is called by the id of the call that loaded it.

import { generate } from "./wasm_decode.js";
import { live } from "./wasm_life.js";
import { STACK_BYTES, WasmMemory } from "./wasm_memory.js";
import { Executable } from "./wasm_plan.js";

/** @type {MessagePort} */
let port;
/** @type {WasmMemory} */
let memory;
/** @type {Map<number, Executable>} */
const plans = new Map();
/** Who waits for bytes, by the number of the question. @type {Map<number, (data: any) => void>} */
const waiting = new Map();
let asked = 0;

/** @param {number} id */
const plan = (id) => /** @type {Executable} */ (plans.get(id));
/** What each plan holds: it changes when another one is loaded or closed. */
const sizes = () => [...plans].map(([id, each]) => [id, each.nbytes]);

/** @type {Record<string, (id: number, ...args: any[]) => any>} */
const calls = {
  async open(id, code, shared, helpers, lock) {
    await live(lock);
    memory = new WasmMemory(code, shared);
    const stacks = Array.from({ length: helpers }, () => memory.take(STACK_BYTES) + STACK_BYTES);
    return { memory: shared ? memory.memory : null, stacks, maximum: memory.maximum };
  },
  async load(id, text, others) {
    const executable = new Executable(memory, JSON.parse(text), others.map(plan));
    const ask = (/** @type {number} */ start, /** @type {number} */ nbytes) => new Promise((resolve, reject) => {
      waiting.set(++asked, (data) => (data.bytes ? resolve(data.bytes) : reject(data.unread)));
      port.postMessage({ id, want: [start, nbytes], ask: asked });
    });
    try {
      await executable.upload(/** @type {any} */ (ask),
        (done, total) => port.postMessage({ id, progress: [done, total] }));
    } catch (error) {
      executable.close();
      throw error;
    }
    plans.set(id, executable);
    const values = Object.entries(executable.plan.values).map(
      ([name, binding]) => [name, /** @type {number[]} */ (binding)[2]]);
    return { peak: executable.peak, values: Object.fromEntries(values), sizes: sizes() };
  },
  write: (_, to, name, bytes) => plan(to).write(name, bytes),
  read: (_, from, name, wanted) => plan(from).read(name, wanted),
  clear: (_, from, name) => plan(from).clear(name),
  run: (_, of, program, bindings) => plan(of).run(program, bindings),
  generate: (id, of, request) => generate(plan(of), request, (tokens) => port.postMessage({ id, tokens })),
  cancel: (_, of) => {
    plan(of).cancelled = true;
  },
  close(_, of) {
    plan(of).close();
    plans.delete(of);
    return { sizes: sizes() };
  },
};

/** An error as plain data; what is not one of ours says what it is. @param {any} error */
const plain = (error) => error?.code && error.what ? error
  : { code: "HostError", what: "the Wasm executor", got: String(error?.stack ?? error) };

onmessage = ({ data }) => {
  port = data.port;
  port.onmessage = hear;
};

/** @param {MessageEvent} message */
async function hear({ data }) {
  const { id, call, args } = data;
  if (!call) {
    waiting.get(data.ask)?.(data);
    waiting.delete(data.ask);
    return;
  }
  try {
    const value = await calls[call](id, ...args);
    port.postMessage({ id, value }, value instanceof Uint8Array ? [value.buffer] : []);
  } catch (error) {
    port.postMessage({ id, error: plain(error) });
  }
}
