#!/usr/bin/env bash
# Makes the embedded model's next weights from this repository alone: data, joint prior, the paper's stages, on from the
# weights in src/magicpose/weights/tiny, their autoencoder as it is. Every step resumes: run it again after any
# interruption. To start from nothing, drop the shipped folder from every `init` and `kept_channels` from vae.yaml, put
# `vae` before the other stages and out/tiny/vae/export into matching.yaml's `init`, and give each more steps: docs/log.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup
processes=$(nproc)
export OMP_NUM_THREADS=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1

render() {  # folder, clips, first seed, more options
  .venv/bin/synthetic-people render --out "out/tiny/data/$1" --clips "$2" --first-seed "$3" \
    --frames 8 --fps 3 --size 128 --framings half:.3,bust:.5,head:.2 --workers "$processes" "${@:4}"
}
render validation 48 9000000 --simple  # evaluation uses seeds from 10,000,000 on
render train 5000 16000 --simple --places  # seeds 0 to 15999 were the earlier sessions' own

for stage in matching joint pose_prior appearance pose; do
  [ -d "out/tiny/$stage/export" ] || .venv/bin/python -m torch.distributed.run --standalone \
    --nproc_per_node "$processes" --no_python .venv/bin/magicpose train "configs/tiny/$stage.yaml"
done
.venv/bin/python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny
