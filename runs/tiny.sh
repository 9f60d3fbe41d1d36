#!/usr/bin/env bash
# Makes the embedded model from nothing but this repository: data, autoencoder, joint prior, the paper's stages.
# Every step resumes: run it again after any interruption. Fourteen hours on two AMX cores; see docs/log.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup
.venv/bin/python -m pip install -q --no-deps stlpips-pytorch==0.0.2  # weights of the perceptual loss
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}" GLIBC_TUNABLES=glibc.malloc.hugetlb=1

render() {  # folder, clips, first seed
  .venv/bin/synthetic-people render --out "out/tiny/data/$1" --clips "$2" --first-seed "$3" \
    --frames 8 --fps 3 --size 128 --framings half:.3,bust:.5,head:.2 --simple --workers "$(nproc)"
}
render train 3000 0
render validation 48 9000000  # evaluation uses seeds from 10,000,000 on

for stage in vae joint pose_prior appearance pose; do
  [ -d "out/tiny/$stage/export" ] || .venv/bin/magicpose train "configs/tiny/$stage.yaml"
done
.venv/bin/python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny
