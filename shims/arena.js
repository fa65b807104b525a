// Which bytes of one linear memory are taken: the allocator of Wasm devices. First fit over a sorted
// list of free ranges; a plan has some hundred buffers, so nothing quicker is needed.
// Twin: host/arena.py.

const ALIGNMENT = 256;

/** @param {number} nbytes */
const whole = (nbytes) => Math.max(Math.ceil(nbytes / ALIGNMENT), 1) * ALIGNMENT;

/** Ranges of a memory that begins to be free at `start`; `end` is where it ends now. */
export class Arena {
  /** @param {number} start @param {number} end */
  constructor(start, end) {
    this.end = end;
    /** [from, to), in order, none empty. @type {[number, number][]} */
    this.free = [[Math.ceil(start / ALIGNMENT) * ALIGNMENT, end]];
  }

  /** The address of so many bytes that were free, or null if there is no such range. @param {number} nbytes */
  take(nbytes) {
    const size = whole(nbytes);
    const index = this.free.findIndex(([low, high]) => high - low >= size);
    if (index < 0) return null;
    const [low, high] = this.free[index];
    if (high - low > size) this.free[index] = [low + size, high];
    else this.free.splice(index, 1);
    return low;
  }

  /** How many bytes the memory has to grow by for `take` to succeed. @param {number} nbytes */
  lacking(nbytes) {
    const last = this.free.at(-1);
    return whole(nbytes) - (last?.[1] === this.end ? last[1] - last[0] : 0);
  }

  /** The memory became longer. @param {number} nbytes */
  grow(nbytes) {
    this.give(this.end, nbytes);
    this.end += nbytes;
  }

  /** A range is free again. @param {number} address @param {number} nbytes */
  give(address, nbytes) {
    this.free.push([address, address + whole(nbytes)]);
    this.free.sort((a, b) => a[0] - b[0]);
    for (let i = this.free.length - 1; i > 0; i--) {
      if (this.free[i - 1][1] !== this.free[i][0]) continue;
      this.free[i - 1][1] = this.free[i][1];
      this.free.splice(i, 1);
    }
  }
}
