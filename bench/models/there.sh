#!/usr/bin/env bash
# On the machine with the GPU, from the project's root. `there.sh keep` after a transfer keeps the
# part that came (parts.sh made it), `there.sh join` puts both together, `there.sh run [STEP …]`
# measures into $OUT. What is kept lies in $BENCH_KEEP, the browser is $CHROMIUM.
set -uo pipefail
keep=${BENCH_KEEP:-/var/tmp/edgewise-models} out=${OUT:-build/bench/models}
mkdir -p "$keep/models" "$out"
case $1 in
keep)
  for part in models1 models2; do
    [ -d ".gpu/$part" ] && cp ".gpu/$part/part" "$keep/$part"
  done
  du -sm "$keep"/* ;;
join)
  cat "$keep"/models[12] | tar -C "$keep/models" -xJf - && rm "$keep"/models[12]
  ls -la "$keep"/models/* ;;
run)
  shift
  PYTHONUNBUFFERED=1 PYTHONPATH=pyapp:. python3 -m bench.models.run \
    --chromium "${CHROMIUM:-/opt/ch/chromium}" --models "$keep/models" --peers "$keep/models" \
    --out "$keep/out" --lines "$out/models-$(date +%H%M%S).jsonl" "$@" ;;
esac
