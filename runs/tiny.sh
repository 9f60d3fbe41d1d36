#!/usr/bin/env bash
# Makes the embedded model's next weights from this repository alone: data, autoencoder, joint prior, the paper's stages, on
# from the weights in src/magicpose/weights/tiny. Every step resumes: run it again after any interruption. To leave the
# autoencoder as it is, drop `vae` below and out/tiny/vae/export from configs/tiny/joint.yaml. To start from nothing, drop
# the shipped folder from every `init`, `kept_channels` from vae.yaml, and give each stage more steps: docs/log.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup
processes=$(nproc)
export OMP_NUM_THREADS=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1

render() {  # folder, clips, first seed
  .venv/bin/synthetic-people render --out "out/tiny/data/$1" --clips "$2" --first-seed "$3" \
    --frames 8 --fps 3 --size 128 --framings half:.3,bust:.5,head:.2 --simple --workers "$processes"
}
render validation 48 9000000  # evaluation uses seeds from 10,000,000 on
render train 5000 5000  # seeds 0 to 4999 were the last session's

.venv/bin/python -m pip install -q --no-deps stlpips-pytorch==0.0.2  # weights of the autoencoder's perceptual loss
for stage in vae joint pose_prior appearance pose; do
  [ -d "out/tiny/$stage/export" ] || .venv/bin/python -m torch.distributed.run --standalone \
    --nproc_per_node "$processes" --no_python .venv/bin/magicpose train "configs/tiny/$stage.yaml"
done
.venv/bin/python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny
