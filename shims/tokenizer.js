// Hugging Face's tokenizers and Jinja for Python in a worker: plain data in, plain data out.

/** @type {typeof import("@huggingface/tokenizers")} */
const { Tokenizer } = await import(new URL("../vendor/tokenizers.mjs", import.meta.url).href);
/** @type {typeof import("@huggingface/jinja")} */
const { Template } = await import(new URL("../vendor/jinja.mjs", import.meta.url).href);

/** @type {Map<number, InstanceType<typeof Tokenizer>>} */
const open = new Map();
let handles = 0;

/** @param {string} code @param {string} what @param {unknown} error */
const failure = (code, what, error) => ({
  code, what, got: error instanceof Error ? error.message : String(error),
}); // prettier-ignore

/** @param {string} json  a tokenizer.json @returns {number} a handle for `encode` and `decode` */
export function load(json) {
  try {
    open.set(++handles, new Tokenizer(JSON.parse(json), {}));
    return handles;
  } catch (error) {
    throw failure("FormatError", "tokenizer.json", error);
  }
}

/** @param {number} handle */
const get = (handle) => /** @type {InstanceType<typeof Tokenizer>} */ (open.get(handle));

/** @param {number} handle @param {string} text
 * @param {boolean} [special]  put the model's special tokens around the text @returns {Int32Array} */
export function encode(handle, text, special = false) {
  return Int32Array.from(get(handle).encode(text, { add_special_tokens: special }).ids);
}

/** @param {number} handle @param {Int32Array} ids @returns {string} */
export function decode(handle, ids) {
  if (!ids.length) return ""; // the library refuses an empty list
  return get(handle).decode(Array.from(ids), {
    skip_special_tokens: true,
    clean_up_tokenization_spaces: false,
  });
}

/** @param {number} handle */
export function close(handle) {
  open.delete(handle);
}

/** A chat template's prompt, ending where the answer begins.
 * @param {string} template @param {string} messages  JSON @param {string} bos @param {string} eos */
export function render(template, messages, bos, eos) {
  let parsed;
  try {
    parsed = new Template(template);
  } catch (error) {
    throw failure("FormatError", "the chat template does not parse", error);
  }
  try {
    return parsed.render({
      messages: JSON.parse(messages), bos_token: bos, eos_token: eos, add_generation_prompt: true,
    }); // prettier-ignore
  } catch (error) {
    throw failure("InputError", "the chat template refuses the messages", error);
  }
}
