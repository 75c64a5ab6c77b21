"""Do the programs that GPTQ, AWQ and MLX folders are made for load those that nibble writes, to the loss that it finds?

    python tests/interop/our_folders.py NIBBLE MODEL TEXT [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model, TEXT a file whose end is measured. Each case is made in
WORK/CASE by nibble, loaded by the other program on the CPU, and its mean loss over windows of 256 tokens is compared
with that of `nibble eval`. Ends with 1 where something does not hold, 0 otherwise.

  gptq, awq   by GPTQModel's kernels in PyTorch, which multiply in bf16: the losses must agree to 2e-3. Its fused kernels
              for processors read symmetric weights only, whatever the folder says, and are not asked.
  mlx         by mlx-lm, in f32: to 1e-5
"""
import pathlib
import shutil
import subprocess
import sys

import gptqmodel
import mlx.core as mx
import mlx_lm
import numpy as np
import torch
import transformers
from gptqmodel import BACKEND, GPTQModel
from losses import Text, compared, loss_of, mean_loss, nibble_loss, run_cases

IN_BF16, IN_F32 = 2e-3, 1e-5

MIXED = ["--set", "*down_proj*=int8", "--keep", "*layers.0.*"]
CASES = {
    "gptq-int4-g128": ["--scheme", "int4:g128"],
    "gptq-int4-g32-gptq": ["--scheme", "int4:g32", "--method", "gptq", "--samples", "16"],
    "gptq-int4-g32-asym": ["--scheme", "int4:g32:asym"],
    "gptq-int3-g32": ["--scheme", "int3:g32"],
    "gptq-int8-channel": ["--scheme", "int8:channel"],
    "gptq-mixed": ["--scheme", "int4:g128", *MIXED],
    "awq-int4-g32": ["--scheme", "int4:g32"],
    "awq-int4-g128-asym-awq": ["--scheme", "int4:g128:asym", "--method", "awq", "--samples", "16"],
    "mlx-affine4-g64": ["--scheme", "affine4:g64"],
    "mlx-affine3-g32-gptq": ["--scheme", "affine3:g32", "--method", "gptq", "--samples", "16"],
    "mlx-int4-g32-gptq": ["--scheme", "int4:g32", "--method", "gptq", "--samples", "16"],
    "mlx-int4-g64-asym": ["--scheme", "int4:g64:asym"],
    "mlx-mxfp4": ["--scheme", "mxfp4"],
    "mlx-mixed": ["--scheme", "affine4:g64", "--set", "*down_proj*=affine8:g32", "--keep", "*layers.0.*"],
}


def made(command, model, folder, options):
    if folder.exists():
        shutil.rmtree(folder)
    layout = folder.name.split("-")[0]
    subprocess.run([command, "quantize", model, "-o", folder, "--format", layout, "--quiet", *options], check=True,
                   stdout=subprocess.DEVNULL)


def gptqmodel_loss(folder, ids):
    loaded = GPTQModel.load(str(folder), device="cpu", dtype=torch.bfloat16, backend=BACKEND.TORCH)
    return loss_of(loaded.model.eval(), ids)


def mlx_loss(folder, ids):
    model, _ = mlx_lm.load(str(folder))
    return mean_loss(lambda window: torch.tensor(np.array(model(mx.array(window.numpy())[None])[0])), ids)


def check(command, model, text, folder):
    made(command, model, folder, CASES[folder.name])
    in_f32 = folder.name.startswith("mlx")
    theirs = (mlx_loss if in_f32 else gptqmodel_loss)(folder, text.ids)
    return compared(theirs, nibble_loss(command, folder, text.path), IN_F32 if in_f32 else IN_BF16)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    command, model, path = sys.argv[1:4]
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else "build/interop/our_folders")
    work.mkdir(parents=True, exist_ok=True)
    text = Text(model, path, work)
    print(f"GPTQModel {gptqmodel.__version__}, mlx-lm {mlx_lm.__version__}, torch {torch.__version__}, "
          f"{len(text.ids)} tokens\n")
    return run_cases(["folder", "the other program", "nibble", "difference", "holds"], CASES,
                     lambda name: check(command, model, text, work / name))


if __name__ == "__main__":
    sys.exit(main())
