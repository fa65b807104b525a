// Token ids by llama.cpp: reads {files: {name: gguf}, texts: {name: [text]}} on stdin and prints
// {name: [[id]]}. Run by smollm2_tokens.py.
import { getLlama } from "node-llama-cpp";
import { readFileSync } from "node:fs";

const { files, texts } = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const ids = {};
for (const [name, modelPath] of Object.entries(files)) {
  const model = await llama.loadModel({ modelPath, vocabOnly: true });
  ids[name] = texts[name].map((text) => model.tokenize(text, true));
  await model.dispose();
}
console.log(JSON.stringify(ids));
process.exit(0);
