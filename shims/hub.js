// The embedding side of a hub: a frame of another origin that keeps files for many sites. The page
// shows the frame, where the person decides, and gets a port to it for the worker.
//
// Messages of the window count only when they come from that frame with the hub's origin; what is
// said to it names that origin. The rest goes over the port: place.js.

import { serve } from "./place.js";

const MOST_PX = 320; // that the frame may take of the page's height
const GREETING_MS = 3000; // after the frame's load, for a message that was sent before it

/**
 * Shows the hub in an element; the port to it is served at once, and answers once the person
 * decided. A hub that is not there refuses.
 * @param {string} address  of the hub's page @param {Element} element @returns {MessagePort}
 */
export function embed(address, element) {
  const { port1, port2 } = new MessageChannel();
  const { origin } = new URL(address, document.baseURI);
  const frame = document.createElement("iframe");
  let given = false;
  addEventListener("message", ({ source, origin: from, data }) => {
    if (source !== frame.contentWindow || from !== origin) return;
    if (typeof data === "number") frame.height = String(Math.min(data, MOST_PX));
    if (data !== "hub" || given) return;
    given = true;
    frame.contentWindow?.postMessage("site", origin, [port2]);
  });
  frame.addEventListener("load", () => setTimeout(() => {
    if (given) return;
    given = true;
    frame.remove();
    serve(port2, { find: absent, offer: absent });
  }, GREETING_MS), { once: true }); // prettier-ignore
  frame.title = "Models shared between sites";
  frame.allow = "storage-access";
  frame.src = address;
  element.append(frame);
  return port1;

  /** @returns {Promise<never>} */
  async function absent() {
    throw new DOMException(`no hub answers at ${address}`, "NetworkError");
  }
}
