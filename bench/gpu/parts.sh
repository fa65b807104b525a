#!/usr/bin/env bash
# Packs what a machine with a GPU and no network needs into folders in .gpu/ that go there in
# transfers of at most 64 MiB; there.sh puts them together again. From the project's root, after
# `make site`:
#     bench/gpu/parts.sh [WLLAMA [ORT [ONNX_F32 ONNX_F16]]]
# WLLAMA and ORT are folders with the npm packages @wllama/wllama and onnxruntime-web, ONNX_… with
# the 4-bit model as onnxruntime-genai's builder writes it (model.onnx, model.onnx.data). Of the
# f16 one only the graph travels: speed does not depend on weights. `.gpu/browser` and `.gpu/rest`,
# a Chromium for that machine, come from elsewhere. The site is packed each time, the rest once.
set -euo pipefail
wllama=${1:-} ort=${2:-} f32=${3:-} f16=${4:-}
out=.gpu tmp=build/bench/parts
rm -rf "$tmp" "$out/site" && mkdir -p "$tmp" "$out"/{site,model1,model2,peers,onnx1,onnx2} build/bench/inputs

# FILE at BYTES into NAME1/part and NAME2/part
halve() {
  head -c "$2" "$1" >"$out/${3}1/part" && tail -c "+$(($2 + 1))" "$1" >"$out/${3}2/part"
}

PYTHONPATH=pyapp .venv/bin/python bench/gpu/prompts.py build/site/models/*.tokenizer.json build/bench/inputs/prompts.json
tar -C build -cf - --exclude='*.gguf' site bench/inputs | xz -T2 -6 >"$out/site/site.tar.xz"

model=$(ls build/site/models/*.gguf)
basename "$model" >"$out/model2/name"
if [ ! -e "$out/model2/part" ]; then
  xz -T2 -1 -c "$model" >"$tmp/model.xz"
  halve "$tmp/model.xz" $((46 << 20)) model # the first half travels beside the site and .gpu/rest
fi
if [ -n "$wllama" ] && [ ! -e "$out/peers/wllama.tar.xz" ]; then
  mkdir -p "$tmp/wllama" && cp -r "$wllama"/esm/{index.min.js,wasm} "$tmp/wllama/"
  tar -C "$tmp" -cf - wllama | xz -T2 -6 >"$out/peers/wllama.tar.xz"
fi
if [ -n "$ort" ] && [ ! -e "$out/peers/ort.tar.xz" ]; then
  mkdir -p "$tmp/ort"
  cp "$ort"/dist/ort.{jspi,webgpu}.min.mjs "$ort"/dist/ort-wasm-simd-threaded.{jspi,asyncify}.{mjs,wasm} "$tmp/ort/"
  tar -C "$tmp" -cf - ort | xz -T2 -6 >"$out/peers/ort.tar.xz"
fi
if [ -n "$f32" ] && [ ! -e "$out/onnx2/part" ]; then
  mkdir -p "$tmp"/onnx/{f32,f16} && cp "$f32"/model.onnx{,.data} "$tmp/onnx/f32/"
  cp "$f16/model.onnx" "$tmp/onnx/f16/" && stat -c %s "$f16/model.onnx.data" >"$tmp/onnx/f16/model.onnx.nbytes"
  tar -C "$tmp" -cf - onnx | xz -T2 -1 >"$tmp/onnx.tar.xz"
  halve "$tmp/onnx.tar.xz" $((10 << 20)) onnx # beside the second half of the model
fi
rm -rf "$tmp"
du -sm "$out"/*
