"""Does nibble run LoRA adapters as PEFT does, beside a base and merged into it?

    python tests/interop/peft_adapters.py NIBBLE MODEL TEXT [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model (cases named gpt2-... take gpt2-shakespeare beside it), TEXT
a file whose end is measured. In each case PEFT makes an adapter with random A and B in WORK/CASE and runs it in f32; its
mean loss over windows of 256 tokens is compared with those of `nibble eval --adapter` and of the folder that
`nibble merge` makes, run by transformers: they must agree to 1e-6 of the loss. The loss of the base alone must be
another. Ends with 1 where something does not hold, 0 otherwise.

  ...-two   two adapters, 0.7 and -0.5 times
  ...-nf4   on the base that `nibble quantize --scheme nf4` makes, which stays so and is not merged; PEFT runs it with the
            weights that bitsandbytes unpacks, in f32 (its own products on a CPU round to bf16)
  ...-trained   the adapter is what `nibble train --lora` makes on that base
"""
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import bitsandbytes
import peft
import torch
import transformers
from losses import Text, loss_of, nibble_loss, run_cases
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

LIMIT, LEAST = 1e-6, 1e-4
LARGEST = {"lora_A": 0.05, "lora_B": 0.05, "lora_embedding_A": 0.05, "lora_embedding_B": 0.05, "modules_to_save": 0.01,
           ".bias": 0.02}


@dataclasses.dataclass
class Case:
    options: dict
    second: dict | None = None
    packed: bool = False
    trained: str = ""


LINEAR = {"target_modules": "all-linear"}
CASES = {
    "llama-q-v": Case({"target_modules": ["q_proj", "v_proj"], "r": 8, "lora_alpha": 16}),
    "llama-all-rslora": Case(LINEAR | {"r": 16, "lora_alpha": 8, "use_rslora": True}),
    "llama-patterns": Case({"target_modules": r".*layers\.[0-2]\..*proj", "r": 4,
                            "rank_pattern": {"q_proj": 12, r"layers\.1\.mlp\..*": 2},
                            "alpha_pattern": {"down_proj": 3}}),
    "llama-layers": Case({"target_modules": ["o_proj", "up_proj"], "layers_to_transform": [1, 3]}),
    "llama-saved": Case({"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]}),
    "llama-embedding": Case({"target_modules": ["embed_tokens", "k_proj", "lm_head"], "r": 3}),
    "llama-two": Case({"target_modules": ["q_proj", "gate_proj"], "r": 8},
                      {"target_modules": ["gate_proj", "o_proj"], "r": 5, "lora_alpha": 20}),
    "llama-nf4": Case(LINEAR, packed=True),
    "llama-trained": Case({}, trained="r=4,alpha=8,dropout=0.05"),
    "llama-nf4-trained": Case({}, packed=True, trained="r=8,rslora,targets=q_proj+v_proj+down_proj"),
    "gpt2-trained": Case({}, trained="r=4"),
    "gpt2-all": Case(LINEAR | {"fan_in_fan_out": True}),
    "gpt2-attention-rslora": Case({"target_modules": ["c_attn"], "r": 6, "use_rslora": True, "fan_in_fan_out": True}),
    "gpt2-bias": Case({"target_modules": ["c_fc", "attn.c_proj"], "bias": "lora_only", "fan_in_fan_out": True}),
    "gpt2-head": Case({"target_modules": ["c_attn"], "modules_to_save": ["lm_head"], "fan_in_fan_out": True}),
    "gpt2-embedding": Case({"target_modules": ["wte", "c_fc"], "fan_in_fan_out": True}),
}


def command(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True).stdout


def loaded(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def unpacked(folder, plain):
    """The plain model with the weights of a packed one."""
    out, weights = loaded(plain), {}
    for name, module in loaded(folder).named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            weights[name + ".weight"] = weight.float()
    assert weights and not out.load_state_dict(weights, strict=False).unexpected_keys
    return out


def made(base, options, folder, seed):
    """An adapter none of whose parts is as it was initialized."""
    torch.manual_seed(seed)
    model = get_peft_model(loaded(base), LoraConfig(task_type="CAUSAL_LM", **options))
    for name, parameter in model.named_parameters():
        size = next((s for part, s in LARGEST.items() if part in name), 0)
        if parameter.requires_grad and size:
            parameter.data += size * torch.randn_like(parameter)
    model.save_pretrained(folder)


def peft_loss(base, folders, weights, ids):
    model = PeftModel.from_pretrained(base, folders[0], adapter_name="a0")
    for i, folder in enumerate(folders[1:], 1):
        model.load_adapter(folder, adapter_name=f"a{i}")
    if len(folders) > 1:
        model.add_weighted_adapter([f"a{i}" for i in range(len(folders))], weights, "sum", combination_type="cat")
        model.set_adapter("sum")
    return loss_of(model.eval(), ids)


def adapters_of(case, base, work):
    """Their folders and weights."""
    folders = []
    for seed, options in enumerate([case.options] + ([case.second] if case.second else [])):
        folders.append(work / f"adapter{seed}")
        made(base, options, folders[-1], seed)
    return folders, [0.7, -0.5] if case.second else [1.0]


def merged_loss(nibble, base, ids, words, out):
    command(nibble, "merge", base, "-o", out, "--to", "f32", "--quiet", *words)
    return loss_of(loaded(out), ids)


def check(nibble, model, text, work):
    case = CASES[work.name]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    base, theirs = model, loaded(model)
    if not case.trained:
        folders, weights = adapters_of(case, model, work)
    if case.packed:
        base = work / "packed"
        command(nibble, "quantize", model, "-o", base, "--scheme", "nf4", "--quiet")
        theirs = unpacked(base, model)
    if case.trained:
        folders, weights = [work / "trained"], [1.0]
        command(nibble, "train", "--from", base, "--lora", case.trained, "--data", text.path, "-o", folders[0], "--steps", 10,
                "--batch", 4, "--samples", 0, "--quiet")
    expected = peft_loss(theirs, folders, weights, text.ids)
    words = [w for folder, weight in zip(folders, weights) for w in ("--adapter", f"{folder}={weight}")]
    alone, beside = nibble_loss(nibble, base, text.path), nibble_loss(nibble, base, text.path, words)
    found = [beside] if case.packed else [beside, merged_loss(nibble, base, text.ids, words, work / "merged")]
    far = max(abs(loss - expected) for loss in found) / expected
    ok = far <= LIMIT and abs(alone - expected) > LEAST * expected
    cells = [f"{alone:.4f}", f"{expected:.7f}", f"{beside:.7f}", f"{found[1]:.7f}" if len(found) > 1 else "-"]
    return ok, f"{' | '.join(cells)} | {far:.1e} | {'yes' if ok else 'NO'} |"


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    nibble, model, path = sys.argv[1:4]
    work = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else "build/interop/peft_adapters")
    models = {"llama": pathlib.Path(model), "gpt2": pathlib.Path(model).parent / "gpt2-shakespeare"}
    texts = {}
    for kind, folder in models.items():
        (work / kind).mkdir(parents=True, exist_ok=True)
        texts[kind] = Text(folder, path, work / kind)
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
          f"bitsandbytes {bitsandbytes.__version__}\n")

    def checked(name):
        kind = name.split("-")[0]
        return check(nibble, models[kind], texts[kind], work / name)

    return run_cases(["adapter", "base alone", "PEFT", "nibble", "merged", "largest difference", "holds"], CASES, checked)


if __name__ == "__main__":
    sys.exit(main())
