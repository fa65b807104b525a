// A helper thread: an instance of the module over the first thread's memory, in the module's `help`
// for as long as it lives. A trap ends it, and with it the device: shims/wasm.js hears the error.

import { live } from "./wasm_life.js";
import { instantiate } from "./wasm_memory.js";

onmessage = ({ data: { port } }) => {
  port.onmessage = async (/** @type {MessageEvent} */ { data: { code, memory, stack, lock } }) => {
    const { exports } = instantiate(code, memory);
    exports.__stack_pointer.value = stack;
    await live(lock);
    port.postMessage("ready");
    setTimeout(() => exports.help()); // an error in it is uncaught, and so is told
  };
};
