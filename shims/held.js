// Weights that several plans of one file use, each on its device once: a reference count that
// knows its owner. The first user counts a weight's bytes as its own; when it closes, the next
// one does. Twin: host/held.py.

/** @typedef {{size: number, destroy: () => void}} Buffer */
/** @template {Buffer} T @typedef {{buffer: T, users: Held<T>[]}} Weight */

/** The weight buffers of one loaded plan, by the names that the plan gives them. @template {Buffer} T */
export class Held {
  constructor() {
    /** @type {Map<string, Weight<T>>} */
    this.weights = new Map();
  }

  /** Bytes of what no plan that was loaded earlier holds as well. */
  get nbytes() {
    let total = 0;
    for (const { buffer, users } of this.weights.values()) {
      if (users[0] === this) total += buffer.size;
    }
    return total;
  }

  /**
   * The buffer that one of `others` has under this name, if it is that large: now used here too.
   * @param {string} name @param {number} size @param {Held<T>[]} others
   */
  share(name, size, others) {
    for (const other of others) {
      const found = other.weights.get(name);
      if (found?.buffer.size !== size) continue;
      found.users.push(this);
      this.weights.set(name, found);
      return found.buffer;
    }
    return null;
  }

  /** Holds what nobody held before. @param {string} name @param {T} buffer */
  add(name, buffer) {
    this.weights.set(name, { buffer, users: [this] });
  }

  /** Lets all go, and frees what nobody else uses. */
  close() {
    for (const weight of this.weights.values()) {
      weight.users = weight.users.filter((user) => user !== this);
      if (!weight.users.length) weight.buffer.destroy();
    }
    this.weights.clear();
  }
}
