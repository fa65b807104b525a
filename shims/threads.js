// Starts threads: workers that are spoken to through a port of their own. For a worker its window
// starts them, where that lends itself: in a Firefox that is driven by a test, a worker that starts
// workers itself stands still for good, now and then.

/** @typedef {{port: MessagePort, end: () => void}} Thread */

/** The window that lends itself. @type {MessagePort | undefined} */
let lender;
/** Whom to tell that a thread failed. @type {Map<number, (why: string) => void>} */
const told = new Map();
let count = 0;

/** In a worker: has its threads started at the other end of `port`. @param {MessagePort} port */
export function borrow(port) {
  lender = port;
  port.onmessage = ({ data }) => told.get(data.id)?.(data.why);
}

/** In a window: the port to lend to a worker, which has its threads started here. */
export function threadsFor() {
  const { port1: port, port2: its } = new MessageChannel();
  /** @type {Map<number, () => void>} */
  const running = new Map();
  port.onmessage = ({ data: { id, start } }) => {
    if (start) {
      const failed = (/** @type {string} */ why) => port.postMessage({ id, why });
      running.set(id, begin(start.script, start.name, start.port, failed));
    } else {
      running.get(id)?.();
      running.delete(id);
    }
  };
  return its;
}

/**
 * Starts a thread. Its script gets {port} as its first message.
 * @param {string} script  its address @param {string} name
 * @param {(why: string) => void} failed  called when its script cannot be had, or raises an error
 * @returns {Thread}
 */
export function startThread(script, name, failed) {
  const { port1: port, port2: its } = new MessageChannel();
  const window = lender;
  if (!window) return { port, end: begin(script, name, its, failed) };
  const id = ++count;
  told.set(id, failed);
  window.postMessage({ id, start: { script, name, port: its } }, [its]);
  return {
    port,
    end() {
      told.delete(id);
      window.postMessage({ id });
    },
  };
}

/**
 * @param {string} script @param {string} name @param {MessagePort} port
 * @param {(why: string) => void} failed
 */
function begin(script, name, port, failed) {
  const worker = new Worker(script, { type: "module", name });
  worker.onerror = (event) => {
    event.preventDefault(); // it is told by the calls that fail
    failed(event.message || "its script could not be had");
  };
  worker.postMessage({ port }, [port]);
  return () => worker.terminate();
}
