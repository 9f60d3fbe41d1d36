#!/usr/bin/env bash
# Makes the embedded model's next weights from this repository alone: data, joint prior, the paper's stages, on from the
# weights in src/magicpose/weights/tiny. Every step resumes: run it again after any interruption. `VAE=1 runs/tiny.sh`
# also trains the autoencoder anew (then drop the shipped folder from every `init` in configs/tiny). See docs/log.md.
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
render train 5000 0

if [ -n "${VAE:-}" ] && [ ! -d out/tiny/vae/export ]; then
  .venv/bin/python -m pip install -q --no-deps stlpips-pytorch==0.0.2  # weights of the perceptual loss
  OMP_NUM_THREADS="$processes" .venv/bin/magicpose train configs/tiny/vae.yaml
fi
for stage in joint pose_prior appearance pose; do
  [ -d "out/tiny/$stage/export" ] || .venv/bin/python -m torch.distributed.run --standalone \
    --nproc_per_node "$processes" --no_python .venv/bin/magicpose train "configs/tiny/$stage.yaml"
done
.venv/bin/python runs/pack_tiny.py out/tiny src/magicpose/weights/tiny
