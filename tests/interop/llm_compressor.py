"""Does nibble read what llm-compressor writes, and to the loss that transformers finds?

    python tests/interop/llm_compressor.py NIBBLE MODEL TEXT [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model, TEXT a file whose beginning calibrates and
whose end is measured. For every case llm-compressor quantizes MODEL into WORK/CASE, on the CPU; losses are
means over windows of 256 tokens, in f32, by transformers and by `nibble eval`.

The two losses must agree to 1e-4. Where inputs are rounded as well, an input at the edge between two codes falls
to either side by the last bit of the product before, and changes all that follows (per token the largest input, if
negative, always lies at such an edge: it is -127.5 scales), so that single tokens differ by much more; there the
whole TEXT is measured, over which that evens out, and of the same preset on the first layer of MODEL alone, over
texts of a few tokens, most of which have no input that near to an edge, the middle difference must be below 1e-5
(a wrong divisor makes it 1e-3).

What nibble does not run it must refuse, with exit code 65 and the name of the key. Ends with 1 where
something does not hold, 0 otherwise.
"""
import copy
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys

import compressed_tensors
import llmcompressor
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationScheme, preset_name_to_scheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from losses import WINDOW, loss_of, nibble_loss, run_cases
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

LIMIT, SHORT_LIMIT = 1e-4, 1e-5
SAMPLES, HELD_OUT, SHORT, SHORT_TEXTS = 8, 12_000, 12, 24


@dataclasses.dataclass
class Case:
    """What llm-compressor is asked for; gptq is an activation order of GPTQModifier ("none": without),
    None is QuantizationModifier, which rounds to nearest."""
    preset: str
    gptq: str | None = None
    group: int | None = None
    ignore: tuple = ("lm_head",)
    kv_cache: dict | None = None
    refused: str = ""  # the key that nibble names
    unpack: bool = False  # compressed-tensors runs fp4 in bf16 only: transformers gets its weights as f32

    @property
    def name(self):
        parts = [self.preset, self.gptq and f"gptq-{self.gptq}", self.group and f"g{self.group}",
                 len(self.ignore) > 1 and "ignore", self.kv_cache and "kv"]
        return "-".join(part for part in parts if part)


CASES = [
    *(Case("W4A16", order) for order in (None, "none", "weight", "static")),
    Case("W4A16", "weight", group=32), Case("W4A16", None, group=32),
    Case("W4A16", None, ignore=("lm_head", "re:.*layers\\.0\\.", "model.layers.1.mlp.down_proj")),
    Case("W4A16_ASYM"), Case("W4A16_ASYM", "static"), Case("W4A16_ASYM", "weight", group=32),
    Case("W3A16"), Case("W8A16"), Case("W8A16", "static"),
    Case("NVFP4A16", unpack=True), Case("MXFP4A16", unpack=True),
    Case("W8A8"), Case("W8A8", "weight"), Case("W4A8"), Case("FP8_DYNAMIC"), Case("FP8_DYNAMIC", "none"),
    Case("W4AFP8"),
    Case("FP8", refused="config_groups.group_0.input_activations"),
    Case("FP8_BLOCK", refused="config_groups.group_0.weights.block_structure"),
    Case("NVFP4", refused="config_groups.group_0.input_activations"),
    Case("MXFP4", refused="config_groups.group_0.input_activations"),
    Case("MXFP8A16", refused="config_groups.group_0.weights.type"),
    Case("W4A16", kv_cache={"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False,
                            "symmetric": True}, refused="kv_cache_scheme"),
]


class Texts:
    """The rows that calibrate, and what is measured: the whole text, its end, and short texts."""

    def __init__(self, model, path, work):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        text = pathlib.Path(path).read_text(encoding="utf-8")
        rows = self.ids(text[:100_000])
        self.rows = [rows[i * WINDOW:(i + 1) * WINDOW] for i in range(SAMPLES)]
        self.whole = self.put(work / "whole.txt", text)
        self.long = self.put(work / "long.txt", text[-HELD_OUT:])
        self.short = [self.put(work / f"short-{i}.txt", text[-HELD_OUT + i * 400:][:SHORT])
                      for i in range(SHORT_TEXTS)]

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def put(self, path, text):
        path.write_text(text, encoding="utf-8")
        return path, self.ids(text)


def recipe_of(case):
    options = {"ignore": list(case.ignore), "kv_cache_scheme": case.kv_cache}
    if case.group is None:
        options |= {"targets": "Linear", "scheme": case.preset}
    else:
        scheme = copy.deepcopy(preset_name_to_scheme(case.preset, ["Linear"]))
        scheme.weights.group_size = case.group
        options |= {"config_groups": {"group_0": scheme}}
    if case.gptq is None:
        return QuantizationModifier(**options)
    return GPTQModifier(**options, actorder=None if case.gptq == "none" else case.gptq)


def make(model, texts, case, out):
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    data = Dataset.from_dict({"input_ids": texts.rows, "attention_mask": [[1] * WINDOW] * SAMPLES})
    oneshot(model=plain, dataset=data, recipe=recipe_of(case), max_seq_length=WINDOW,
            num_calibration_samples=SAMPLES)
    plain.save_pretrained(out)
    texts.tokenizer.save_pretrained(out)


def unpack(parts, scheme):
    """One fp4 weight in f32 by the functions of compressed-tensors."""
    if "weight_global_scale" not in parts:  # powers of two: nothing is rounded in bf16
        return BaseCompressor.get_value_from_registry(scheme.format).decompress(parts, scheme)["weight"].float()
    n, half = parts["weight_packed"].shape
    values = unpack_fp4_from_uint8(parts["weight_packed"], n, 2 * half, dtype=torch.float32)
    return dequantize(values, parts["weight_scale"].float(), args=scheme.weights, dtype=torch.float32,
                      global_scale=parts["weight_global_scale"])


def unpacked_model(model, folder):
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    scheme = QuantizationScheme(**config["config_groups"]["group_0"])
    tensors = load_file(folder / "model.safetensors")
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for name, module in plain.named_modules():
        parts = {n[len(name) + 1:]: v for n, v in tensors.items() if n.startswith(name + ".")}
        if isinstance(module, torch.nn.Linear) and "weight_scale" in parts:
            module.weight.data = unpack(parts, scheme)
    return plain


def quantized_modules(model):
    return [m for m in model.modules() if getattr(m, "quantization_scheme", None) is not None]


def rounds_inputs(model):
    return any(m.quantization_scheme.input_activations for m in quantized_modules(model))


def first_layer(model, texts, work):
    """MODEL with its first layer alone."""
    folder = work / "first-layer"
    if not folder.exists():
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, num_hidden_layers=1).save_pretrained(folder)
        texts.tokenizer.save_pretrained(folder)
    return folder


def short_difference(command, model, texts, work, case):
    """How far apart the two are on the first layer alone: the middle of some short texts."""
    folder = work / (case.name + "-first-layer")
    if not folder.exists():
        make(first_layer(model, texts, work), texts, case, folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return statistics.median(abs(loss_of(loaded, ids) - nibble_loss(command, folder, path))
                             for path, ids in texts.short)


def check_loss(command, model, texts, work, case):
    folder = work / case.name
    loaded = (unpacked_model(model, folder) if case.unpack else
              AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())
    path, ids = texts.whole if rounds_inputs(loaded) else texts.long
    theirs, ours = loss_of(loaded, ids), nibble_loss(command, folder, path)
    ok, words = abs(theirs - ours) <= LIMIT, ""
    if rounds_inputs(loaded):
        short = short_difference(command, model, texts, work, case)
        ok = ok and short <= SHORT_LIMIT
        words = f"{len(ids)} tokens; first layer: {short:.1e}"
    return ok, f"{theirs:.7f} | {ours:.7f} | {abs(theirs - ours):.1e} | {'yes' if ok else 'NO'} | {words} |"


def check_refused(command, folder, key):
    out = subprocess.run([command, "inspect", folder], capture_output=True, text=True)
    ok = out.returncode == 65 and f'key "quantization_config.{key}"' in out.stderr
    return ok, f"| | | {'refused' if ok else 'NOT REFUSED'} | `{key}` |"


def check(command, model, texts, work, case):
    folder = work / case.name
    if not folder.exists():
        make(model, texts, case, folder)
    if case.refused:
        return check_refused(command, folder, case.refused)
    return check_loss(command, model, texts, work, case)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    command, model, text = sys.argv[1:4]
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else "build/interop/llm_compressor")
    work.mkdir(parents=True, exist_ok=True)
    texts = Texts(model, text, work)
    print(f"llmcompressor {llmcompressor.__version__}, compressed-tensors {compressed_tensors.__version__}, "
          f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    cases = {case.name: case for case in CASES}
    return run_cases(["folder", "transformers", "nibble", "difference", "holds", ""], cases,
                     lambda name: check(command, model, texts, work, cases[name]))


if __name__ == "__main__":
    sys.exit(main())
