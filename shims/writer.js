// Pieces on their way into the store: while some are written, others are digested and read.
//
// What was digested while an entry was being written goes into the next one together. So entries
// are large where the network is faster than the disk, and a slow download loses nothing by
// waiting. All writers of a page or a worker hold at most HELD_NBYTES.

const HELD_NBYTES = 64 * 1024 * 1024;
const ENTRY_NBYTES = 8 * 1024 * 1024; // larger ones are not written faster
const ENTRY_OBJECTS = 64; // its key names each

const SPARE = 16; // a fresh buffer costs its pages again, and segments are of few sizes

let held = 0;
/** @type {(() => void)[]} */
const waiting = [];
/** @type {Uint8Array<ArrayBuffer>[]} */
let spare = [];

/** @param {number} nbytes */
function release(nbytes) {
  held -= nbytes;
  if (!held) spare = [];
  waiting.splice(0).forEach((go) => go());
}

/** @param {number} nbytes */
function buffer(nbytes) {
  const at = spare.findIndex(({ length }) => length === nbytes);
  return at < 0 ? new Uint8Array(nbytes) : spare.splice(at, 1)[0];
}

/** @typedef {[hash: string, bytes: Uint8Array<ArrayBuffer>]} Piece */

/** The pieces of one request, stored in their order. */
export class Writer {
  /** @type {Piece[]} */
  #ready = [];
  #held = 0;
  #digested = Promise.resolve();
  /** @type {Promise<void> | null} */
  #writing = null;
  /** @type {unknown} */
  #error = null;

  /**
   * @param {(pieces: Piece[]) => Promise<void>} write  stores them together or not at all
   * @param {string[]} done  gets the hashes of those that are stored, in order
   * @param {() => void} stop  ends the reading: what comes is not wanted any more
   */
  constructor(write, done, stop) {
    this.write = write;
    this.done = done;
    this.stop = stop;
  }

  /** Waits until so much more may be held; a buffer for it. @param {number} nbytes */
  async room(nbytes) {
    // one piece always may, however large
    while (held && held + nbytes > HELD_NBYTES) {
      await new Promise((go) => waiting.push(() => go(undefined)));
    }
    held += nbytes;
    this.#held += nbytes;
    return buffer(nbytes);
  }

  /** Takes a piece for which there is room. @param {Uint8Array<ArrayBuffer>} bytes @param {Promise<string>} digest */
  add(bytes, digest) {
    const turn = this.#digested.then(() => digest);
    this.#digested = turn.then((hash) => {
      if (this.#error) return;
      this.#ready.push([hash, bytes]);
      this.#writing ??= this.#writeAll();
    }, (error) => this.#fail(error)); // prettier-ignore
  }

  /** Reads, and waits until all that came is stored; then it throws what went wrong.
   * @param {() => Promise<void>} read */
  async through(read) {
    await read().catch((error) => (this.#error ??= error));
    await this.#digested;
    await this.#writing;
    release(this.#held);
    if (this.#error) throw this.#error;
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#error ??= error;
    this.stop();
  }

  async #writeAll() {
    try {
      while (this.#ready.length) await this.#writeSome();
    } catch (error) {
      this.#ready = [];
      this.#fail(error);
    }
    this.#writing = null;
  }

  async #writeSome() {
    let [count, nbytes] = [0, 0];
    for (const [, { length }] of this.#ready.slice(0, ENTRY_OBJECTS)) {
      if (count && nbytes + length > ENTRY_NBYTES) break;
      count += 1;
      nbytes += length;
    }
    const pieces = this.#ready.splice(0, count);
    await this.write(pieces);
    spare = [...pieces.map(([, bytes]) => bytes), ...spare].slice(0, SPARE);
    release(nbytes);
    this.#held -= nbytes;
    this.done.push(...pieces.map(([hash]) => hash));
  }
}
