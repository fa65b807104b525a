// Stand-ins for Translator and LanguageDetector, which no browser here can open: the same static and
// instance methods, progress, streams, errors and destruction as in the drafts. What was asked of
// them is in `asked`.

/** @type {any[]} */
const asked = [];

class Model {
  /** @param {any} options */
  constructor(options) {
    this.options = options;
    this.ended = new AbortController();
  }

  /** @param {any} [options] @returns {Promise<any>} */
  static async create({ monitor, signal, ...options } = {}) {
    asked.push(["create", this.name, options]);
    if (options.sourceLanguage === options.targetLanguage && options.sourceLanguage) {
      throw new DOMException("no such pair", "NotSupportedError");
    }
    if (options.sourceLanguage === "xx") throw new DOMException("no network", "NetworkError");
    const target = new EventTarget();
    monitor?.(target);
    for (const loaded of [0, 0.5, 1]) {
      signal?.throwIfAborted();
      target.dispatchEvent(new ProgressEvent("downloadprogress", { loaded, total: 1 }));
      await null;
    }
    return new this(options);
  }

  destroy() {
    asked.push(["destroy", this.constructor.name]);
    this.ended.abort(new DOMException("destroyed", "AbortError"));
  }

  /** @param {string} input @param {any} [options] */
  async take(input, { signal } = {}) {
    if (input.length > 100) throw new DOMException("too long", "QuotaExceededError");
    if (input === "wait") {
      await new Promise((_, reject) => {
        for (const each of [signal, this.ended.signal]) {
          each?.addEventListener("abort", () => {
            asked.push(["aborted", this.constructor.name]);
            reject(each.reason);
          });
        }
      });
    }
    return input;
  }
}

class Translator extends Model {
  /** @param {any} options */
  static async availability({ sourceLanguage, targetLanguage }) {
    return sourceLanguage === targetLanguage ? "unavailable" : "downloadable";
  }

  /** @param {string} input @param {any} [options] */
  async translate(input, options) {
    const { sourceLanguage, targetLanguage } = this.options;
    return `${sourceLanguage}→${targetLanguage}: ${await this.take(input, options)}`;
  }

  /** @param {string} input @param {any} [options] */
  translateStreaming(input, options) {
    const words = input.split(" ");
    return new ReadableStream({
      pull: async (controller) => {
        const word = words.shift();
        if (word === undefined) controller.close();
        else controller.enqueue(`${await this.take(word, options)} `);
      },
    });
  }
}

class LanguageDetector extends Model {
  static async availability() {
    return "available";
  }

  /** @param {string} input @param {any} [options] */
  async detect(input, options) {
    await this.take(input, options);
    return [
      { detectedLanguage: "fr", confidence: 0.9 },
      { detectedLanguage: "und", confidence: 0.1 },
    ];
  }
}

Object.assign(globalThis, { Translator, LanguageDetector, asked });
