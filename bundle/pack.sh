#!/usr/bin/env bash
# Makes build/bundle: the project as it lies here, MNIST, wheels and run.sh; see docs/gpu.md.
# PYTHON: with pip and an index. WHEELS: a folder of wheels in place of the index.
# THAW_DATA: a folder that holds MNIST/raw. STATE: a folder of results to go on from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3} out=${BUNDLE:-build/bundle} most_mb=60
data=${THAW_DATA:-data}/MNIST/raw
state=${STATE:+$(realpath "$STATE")}

rm -rf "$out.new"
mkdir -p "$out.new/wheels"
if [ -n "${WHEELS:-}" ]; then
  cp "$WHEELS"/*.whl "$out.new/wheels"
else
  "$python" -m pip wheel -q --disable-pip-version-check --no-deps -c constraints.txt \
    -r bundle/wheels.txt -w "$out.new/wheels" 2> >(grep -v '^WARNING: Location' >&2)
fi
tied=$(find "$out.new/wheels" -name '*.whl' ! -name '*-none-any.whl' ! -name '*-abi3-*')
[ -z "$tied" ] || { echo "these wheels are for one version of Python: $tied"; exit 1; }

git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
  tar czf "$out.new/project.tgz" --null -T -
git describe --always --dirty >"$out.new/version"
cp bundle/run.sh bundle/packages.py "$out.new"

if [ -f "$data/train-images-idx3-ubyte" ]; then
  mkdir "$out.new/MNIST"
  for part in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    gzip -nc "$data/$part-ubyte" >"$out.new/MNIST/$part-ubyte.gz"
  done
else
  echo "without MNIST: $data holds none (set THAW_DATA); the phases will take data=mnist_5k"
fi
if [ -n "$state" ]; then
  mkdir "$out.new/state"
  cp "$state"/*.tgz.* "$out.new/state"
fi

rm -rf "$out"
mv "$out.new" "$out"
mb=$(du -sm "$out" | cut -f1)
echo "$out: $mb MB of at most $most_mb ($(cd "$out" && du -sm -- * | sort -rn | awk '{printf "%s%s %s", sep, $2, $1; sep = ", "}'))"
[ "$mb" -le "$most_mb" ]
