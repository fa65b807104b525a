#!/usr/bin/env bash
# On the machine with the GPU, from the project's root. `there.sh keep` after a transfer keeps the
# parts that came (parts.sh made them), `there.sh join` puts them together, `there.sh run [STEP …]`
# measures into $OUT. What is kept lies in $BENCH_KEEP, the browser is $CHROMIUM.
set -uo pipefail
keep=${BENCH_KEEP:-/var/tmp/edgewise-bench} out=${OUT:-build/bench/gpu}
mkdir -p "$keep/parts" "$out"
case $1 in
keep)
  for part in site model1 model2 peers onnx1 onnx2; do
    [ -d ".gpu/$part" ] && cp -rT ".gpu/$part" "$keep/parts/$part"
  done
  du -sm "$keep"/parts/* ;;
join)
  cd "$keep/parts" || exit 1
  [ -e site ] && { tar -C .. -xJf site/site.tar.xz && rm -r site; } # site/ and bench/inputs/
  mkdir -p ../peers
  if [ -e model1/part ] && [ -e model2/part ]; then
    cat model1/part model2/part | xz -dc -T0 >"../site/models/$(cat model2/name)" && rm -r model1 model2
  fi
  if [ -e onnx1/part ] && [ -e onnx2/part ]; then
    cat onnx1/part onnx2/part | tar -C ../peers -xJf - && rm -r onnx1 onnx2
  fi
  for peer in peers/*.tar.xz; do [ -e "$peer" ] && tar -C ../peers -xJf "$peer" && rm "$peer"; done
  ls -la .. ../site/models ../peers/* ;;
run)
  shift
  PYTHONUNBUFFERED=1 PYTHONPATH=pyapp python3 -m bench.gpu.run --chromium "${CHROMIUM:-/opt/ch/chromium}" \
    --out "$keep/out" --all "$out/$(date +%H%M%S).json" --site "$keep/site" --inputs "$keep/bench/inputs" --peers "$keep/peers" "$@" ;;
esac
