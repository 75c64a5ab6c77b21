"""Does nibble read the quantized folders of other tools, and to the loss that these find?

    python tests/interop/other_folders.py NIBBLE MODEL TEXT [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model, TEXT a file whose end is measured. Each case is made in
WORK/CASE by the other tool, on the CPU, and its mean loss over windows of 256 tokens, in f32, is compared with that
of `nibble eval`: they must agree to 1e-4. Ends with 1 where something does not hold, 0 otherwise.

  fp8      blocks of 128 by 128, or one scale a weight: rounded by transformers' own Fp8Quantize, read by
           transformers, which on a CPU multiplies the dequantized weights
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers
from losses import loss_of, nibble_loss
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import Fp8Quantize

LIMIT = 1e-4
HELD_OUT = 40_000


class Text:
    """The end of a text, as a file and as the ids of a model."""

    def __init__(self, model, path, work):
        text = pathlib.Path(path).read_text(encoding="utf-8")[-HELD_OUT:]
        self.path = work / "text.txt"
        self.path.write_text(text, encoding="utf-8")
        self.ids = AutoTokenizer.from_pretrained(model)(text, add_special_tokens=False)["input_ids"]


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


def loaded_loss(folder, ids):
    return loss_of(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), ids)


# name: how it is made in a folder, and the loss by the other tool.
CASES = {
    "fp8-128x128": (lambda model, out: make_fp8(model, out, [128, 128]), loaded_loss),
    "fp8-tensor": (lambda model, out: make_fp8(model, out, None), loaded_loss),
}


def check(command, model, text, work, name):
    make, theirs_of = CASES[name]
    folder = work / name
    if not folder.exists():
        make(model, folder)
    theirs, ours = theirs_of(folder, text.ids), nibble_loss(command, folder, text.path)
    ok = abs(theirs - ours) <= LIMIT
    return ok, f"{theirs:.7f} | {ours:.7f} | {abs(theirs - ours):.1e} | {'yes' if ok else 'NO'} |"


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    command, model, path = sys.argv[1:4]
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else "build/interop/other_folders")
    work.mkdir(parents=True, exist_ok=True)
    text = Text(model, path, work)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {len(text.ids)} tokens\n")
    print("| folder | the other tool | nibble | difference | holds |\n|---|---|---|---|---|", flush=True)
    results = []
    for name in CASES:
        try:
            ok, line = check(command, model, text, work, name)
        except Exception as error:  # the next case is still worth trying
            ok, line = False, f"| | | FAILED: {type(error).__name__}: {str(error)[:300]} |"
        print(f"| {name} | {line}", flush=True)
        results.append(ok)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
