"""Does nibble read the quantized folders of other tools, and to the loss that these find?

    python tests/interop/other_folders.py NIBBLE MODEL TEXT [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model (cases named gpt2-... take gpt2-shakespeare beside it),
TEXT a file whose end is measured. Each case is made in WORK/CASE by the other tool, on the CPU, and its mean loss over
windows of 256 tokens, in f32, is compared with that of `nibble eval`: they must agree to 1e-4. Ends with 1 where
something does not hold, 0 otherwise.

  fp8      blocks of 128 by 128, or one scale a weight: rounded by transformers' own Fp8Quantize, read by
           transformers, which on a CPU multiplies the dequantized weights
  bnb8     rounded and run by transformers and bitsandbytes. With a threshold of 1e-30 every input is an outlier, and
           only weights are rounded. With the usual one inputs are, too, and those at the edge between two codes fall to
           either side: bitsandbytes rounds them to f16 first, leaves out whole columns of a window where nibble leaves
           out values, and takes 6.200124e-5 for 1 / 127^2. There the losses must agree to 1e-3; that products are the
           same is in tests/nn/llm_int8_products_test.cc.
  mlx      converted and run by mlx-lm, embeddings and head quantized as well: in every mode, with a width of their own
           for some modules, and with the head tied to the embedding
"""
import dataclasses
import json
import logging
import pathlib
import shutil
import sys
from collections.abc import Callable

import bitsandbytes
import mlx.core as mx
import mlx_lm
import numpy as np
import torch
import transformers
from losses import Text, compared, loss_of, mean_loss, nibble_loss, run_cases
from mlx_lm import convert
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import Fp8Quantize

LIMIT, ROUNDED_LIMIT = 1e-4, 1e-3


def copy_of(model, out):
    """Everything of a model's folder but its weights."""
    out.mkdir()
    for path in pathlib.Path(model).iterdir():
        if path.suffix != ".safetensors":
            shutil.copyfile(path, out / path.name)


def put_config(folder, **more):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more, indent=2))


class OneConfig:
    """Of transformers' quantizers, what Fp8Quantize asks for."""

    def __init__(self, block):
        self.quantization_config = FineGrainedFP8Config(weight_block_size=block)


def fp8_parts(name, weight, block):
    """Weights whose last blocks are short are filled up with zeros for transformers, which refuses them."""
    n, k = weight.shape
    rows, inputs = block or (n, k)
    full = torch.zeros(-(-n // rows) * rows, -(-k // inputs) * inputs)
    full[:n, :k] = weight
    parts = Fp8Quantize(OneConfig(block)).convert({name: full})
    parts[name] = parts[name][:n, :k].contiguous()
    if block is None:
        parts[name + "_scale_inv"] = parts[name + "_scale_inv"].reshape(())
    return parts


def make_fp8(model, out, block):
    copy_of(model, out)
    tensors = {}
    for name, t in load_file(pathlib.Path(model) / "model.safetensors").items():
        linear = name.endswith("_proj.weight")
        tensors |= fp8_parts(name, t.float(), block) if linear else {name: t}
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    put_config(out, quantization_config={
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
        "weight_block_size": block, "modules_to_not_convert": ["lm_head"]})


def make_bnb8(model, out, threshold):
    config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=threshold)
    quantized = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, device_map="cpu",
                                                     quantization_config=config)
    quantized.save_pretrained(out)
    AutoTokenizer.from_pretrained(model).save_pretrained(out)


def make_mlx(model, out, mode="affine", bits=4, group=64, tied=False, recipe=None):
    source = pathlib.Path(model)
    if tied:
        source = tied_copy(model, out.parent / "tied")
    convert(str(source), str(out), quantize=True, q_group_size=group, q_bits=bits, q_mode=mode, dtype="float32",
            quant_predicate=recipe)


def tied_copy(model, out):
    """The same model, its embedding as its head."""
    if not out.exists():
        copy_of(model, out)
        tensors = load_file(pathlib.Path(model) / "model.safetensors")
        tensors.pop("lm_head.weight")
        save_file(tensors, out / "model.safetensors", {"format": "pt"})
        put_config(out, tie_word_embeddings=True)
    return out


def mlx_loss(folder, ids):
    model, _ = mlx_lm.load(str(folder))
    return mean_loss(lambda window: torch.tensor(np.array(model(mx.array(window.numpy())[None])[0])), ids)


def loaded_loss(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu")
    return loss_of(model.eval(), ids)


@dataclasses.dataclass
class Case:
    """How it is made in a folder, and the loss by the other tool."""
    make: Callable
    loss: Callable = loaded_loss
    limit: float = LIMIT


def mlx_case(**options):
    return Case(lambda model, out: make_mlx(model, out, **options), mlx_loss)


CASES = {
    "fp8-128x128": Case(lambda model, out: make_fp8(model, out, [128, 128])),
    "fp8-tensor": Case(lambda model, out: make_fp8(model, out, None)),
    "bnb8-weights": Case(lambda model, out: make_bnb8(model, out, 1e-30)),
    "bnb8": Case(lambda model, out: make_bnb8(model, out, 6.0), limit=ROUNDED_LIMIT),
    "gpt2-bnb8-weights": Case(lambda model, out: make_bnb8(model, out, 1e-30)),
    "gpt2-bnb8": Case(lambda model, out: make_bnb8(model, out, 6.0), limit=ROUNDED_LIMIT),
    **{f"mlx-{bits}bit-g{group}": mlx_case(bits=bits, group=group)
       for bits, group in ((2, 32), (3, 64), (4, 64), (4, 128), (5, 32), (6, 64), (8, 128))},
    "mlx-mixed": mlx_case(recipe="mixed_3_6"),
    "mlx-tied": mlx_case(tied=True),
    "mlx-mxfp4": mlx_case(mode="mxfp4", group=32), "mlx-nvfp4": mlx_case(mode="nvfp4", group=16),
    "mlx-mxfp8": mlx_case(mode="mxfp8", bits=8, group=32),
}


def check(command, model, text, work, name):
    case, folder = CASES[name], work / name
    if name.startswith("gpt2"):
        model = pathlib.Path(model).parent / "gpt2-shakespeare"
    if not folder.exists():
        case.make(model, folder)
    return compared(case.loss(folder, text.ids), nibble_loss(command, folder, text.path), case.limit)


def main():
    transformers.logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    command, model, path = sys.argv[1:4]
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else "build/interop/other_folders")
    work.mkdir(parents=True, exist_ok=True)
    text = Text(model, path, work)
    print(f"transformers {transformers.__version__}, bitsandbytes {bitsandbytes.__version__}, "
          f"torch {torch.__version__}, mlx {mx.__version__}, mlx-lm {mlx_lm.__version__}, {len(text.ids)} tokens\n")
    return run_cases(["folder", "the other tool", "nibble", "difference", "holds"], CASES,
                     lambda name: check(command, model, text, work, name))


if __name__ == "__main__":
    sys.exit(main())
