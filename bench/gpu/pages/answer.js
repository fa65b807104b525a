// Types questions into the real page, as a person would, and reports what it shows.

import { query, report, say } from "./report.js";

const frame = /** @type {HTMLIFrameElement} */ (document.getElementById("page"));
const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {(page: Document) => boolean} found */
async function until(found) {
  for (;;) {
    const page = frame.contentDocument;
    if (page?.body?.dataset.failed !== undefined) throw new Error(page?.querySelector("[data-failure]")?.textContent ?? "");
    const shown = /** @type {HTMLElement | undefined} */ (page?.querySelector("[data-failure]:not([hidden])"));
    if (shown) throw new Error(shown.textContent ?? "");
    if (page && found(page)) return page;
    await pause(5);
  }
}

/** @param {string} question @param {number} number */
async function ask(question, number) {
  const start = performance.now();
  const page = await until((p) => p.readyState === "complete" && p.querySelector("#question") !== null);
  const field = /** @type {HTMLTextAreaElement} */ (page.querySelector("#question"));
  field.value = question;
  field.form?.requestSubmit();
  const text = () => frame.contentDocument?.querySelector(`#echo-${number} [data-part=text]`)?.textContent;
  await until(() => Boolean(text()));
  const first = performance.now() - start;
  await until((p) => p.querySelector(`#echo-${number}`)?.getAttribute("data-state") === "done");
  const answer = page.querySelector(`#echo-${number} .answer`);
  const ids = answer?.getAttribute("data-token-ids")?.split(",").map(Number) ?? [];
  return {
    question, text: text(), ids, tokens: ids.length,
    asked_to_first_text_ms: Math.round(first), asked_to_end_ms: Math.round(performance.now() - start),
    note: page.querySelector(`#echo-${number} [data-part=note]`)?.textContent,
    where: answer?.getAttribute("data-where"),
  };
}

report(async () => {
  const { prompts } = await (await fetch("smollm2_oracle.json")).json();
  const start = performance.now();
  const count = query.small ? 4 : 32;
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  frame.src = `index.html?policy=local&tokens=${count}`;
  await loaded; // its scripts listen from then on
  const answers = [];
  let number = 0;
  const cases = /** @type {any[]} */ (Object.values(prompts)).slice(0, query.small ? 1 : 5);
  for (const { question, tokens: all } of cases) {
    const tokens = all.slice(0, count);
    const answer = await ask(question, ++number);
    const wrong = answer.ids.findIndex((id, i) => id !== tokens[i]);
    const right = wrong < 0 ? answer.ids.length : wrong;
    const since_navigation_ms = Math.round(performance.now() - start);
    answers.push({ ...answer, ids: undefined, since_navigation_ms, agrees: `${right} of ${tokens.length}` });
    await say(`${answer.note} | agrees ${right} of ${tokens.length} | ${answer.text?.slice(0, 60)}`);
    // each question stands alone, as in the oracle
    /** @type {HTMLElement} */ (frame.contentDocument?.querySelector("[data-event=new]")).click();
    await pause(200);
  }
  const page = frame.contentDocument;
  return {
    answers,
    device: page?.getElementById("device-summary")?.textContent,
    facts: [...page?.querySelectorAll("#facts > div") ?? []].map((row) => row.textContent),
    candidates: page?.getElementById("candidates")?.textContent,
  };
});
