#!/usr/bin/env bash
# Packs models and the peer for a machine with a GPU and no network into .gpu/models1 and .gpu/models2,
# each small enough for a transfer of at most 64 MiB beside .gpu/rest. From the project's root, after
# set-up; ORT is a folder with the npm package onnxruntime-web:
#     bench/models/parts.sh ORT
# `.gpu/browser` and `.gpu/rest`, a Chromium for that machine, come from elsewhere.
set -euo pipefail
ort=$1 tmp=build/bench/parts
first=$((55 << 20)) # bytes that travel beside .gpu/rest
rm -rf "$tmp" .gpu/models[12] && mkdir -p "$tmp/ort" .gpu/models1 .gpu/models2
cp "$ort"/dist/ort.{jspi,wasm}.min.mjs "$ort"/dist/ort-wasm-simd-threaded{,.jspi}.{mjs,wasm} "$tmp/ort/"
cp -r .cache/models/{all-MiniLM-L6-v2,PP-OCRv4,silero-vad} "$tmp/"
tar -C "$tmp" -cf - . | xz -T2 -1 >"$tmp.tar.xz"
head -c $first "$tmp.tar.xz" >.gpu/models1/part && tail -c +$((first + 1)) "$tmp.tar.xz" >.gpu/models2/part
rm -rf "$tmp" "$tmp.tar.xz"
du -sm .gpu/models[12] .gpu/rest
