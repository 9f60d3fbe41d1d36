#!/usr/bin/env bash
# Makes the embedded model's next weights from this repository alone: data, joint prior, the paper's stages, on from the
# weights in src/magicpose/weights/tiny, their autoencoder as it is. Those were made at 128 px by this script, then at 256
# px in minutes on a GPU (docs/log.md, 2026-11-28): on two CPU cores a step at 256 px takes four times as long, and the
# stages' sizes have not been run from here. Every step resumes: run it again after any
# interruption. To start from nothing, drop the shipped folder from every `init` and `kept_channels` from vae.yaml, put
# `vae` before the other stages and out/tiny/vae/export into matching.yaml's `init`, and give each more steps: docs/log.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup
processes=$(nproc)
export OMP_NUM_THREADS=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1

render() {  # folder, clips, first seed, more options
  .venv/bin/synthetic-people render --out "out/tiny/data/$1" --clips "$2" --first-seed "$3" \
    --frames 8 --fps 3 --size 256 --framings half:.3,bust:.35,head:.15,knee:.08,full:.12 --workers "$processes" "${@:4}"
}
render validation 48 9000000 --simple  # evaluation uses seeds from 10,000,000 on
render train 5000 41000 --simple --places  # seeds 0 to 40305 were the earlier sessions' own

for stage in matching joint pose_prior appearance pose; do
  [ -d "out/tiny/$stage/export" ] || .venv/bin/python -m torch.distributed.run --standalone \
    --nproc_per_node "$processes" --no_python .venv/bin/magicpose train "configs/tiny/$stage.yaml"
done
.venv/bin/python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny
