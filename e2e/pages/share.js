// A site's page with a hub or Cross-Origin Storage, called with bytes as arrays of numbers.
// test_hub.py and test_cross_origin_storage.py call `meet`, `find`, `offer` and `raw`.

import * as storage from "../../shims/cross_origin_storage.js";
import { embed } from "../../shims/hub.js";
import { connect } from "../../shims/place.js";

/** @type {import("../../shims/place.js").Place} */
let place = storage;
/** @type {MessagePort} */
let port;

/** @param {() => Promise<any>} work */
async function plainly(work) {
  try {
    return { value: await work() };
  } catch (/** @type {any} */ error) {
    return { error: { name: error.name, message: error.message } };
  }
}

/** @param {number[][]} parts @returns {ReadableStream<Uint8Array>} */
const streamOf = (parts) =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(Uint8Array.from(part));
      controller.close();
    },
  });

Object.assign(globalThis, {
  /** Shows a hub, and asks it from now on. @param {string} address */
  meet(address) {
    port = embed(address, /** @type {Element} */ (document.getElementById("hub")));
    place = connect(port);
  },
  /** @param {string} sha256 */
  find: (sha256) =>
    plainly(async () => {
      const file = await place.find(sha256);
      return file && Array.from(new Uint8Array(await file.arrayBuffer()));
    }),
  /** @param {string} sha256 @param {number[][]} parts */
  offer: (sha256, parts) => plainly(() => place.offer(sha256, streamOf(parts))),
  /** What the hub answers to anything. @param {any} request */
  raw: (request) =>
    new Promise((resolve) => {
      port.onmessage = ({ data }) => resolve(data);
      port.postMessage({ id: "raw", ...request });
    }),
});
document.documentElement.dataset.ready = "true";
