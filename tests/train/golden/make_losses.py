"""The first 20 losses of training by PyTorch, transformers and PEFT: what nibble's trainer is held against.

    pip install torch transformers peft safetensors
    python tests/train/golden/make_losses.py [OUT]      from the root of the repository; OUT: losses.json beside this

Initial weights and the text lie in ../shared/data. The rule below is written into OUT, too, and is all that a
program needs to compute the same numbers. Each run is made again in f64, and how far its losses are from those
in f32 stands beside them: what rounding alone does.
"""
import json
import math
import pathlib
import sys

import peft
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM

DATA = pathlib.Path("../shared/data")
TEXT, CHARACTERS = DATA / "text/tinyshakespeare.txt", 20_000
STEPS, WINDOWS, LENGTH = 20, 4, 65
RATE, WARMUP, DECAY, CLIP, BETAS, EPS = 1e-3, 5, 0.1, 1.0, (0.9, 0.95), 1e-8
AUX, RANK, ALPHA, SHRUNK = 0.02, 8, 16, 0.9

RULE = {
    "data": f"The first {CHARACTERS} characters of the text by the model's own tokenizer, without special tokens, are "
            f"ids. Window w (0 to {WINDOWS - 1}) of step s (0 to {STEPS - 1}) is the {LENGTH} ids from "
            f"{LENGTH} ({WINDOWS} s + w) on, at positions from 0; the first {LENGTH - 1} are read, the last "
            f"{LENGTH - 1} predicted. Ids beyond the last window are not used.",
    "loss": "Of a step, before its update: the mean of -log p over all predicted ids, in nats.",
    "optimizer": f"AdamW (decay decoupled, eps outside the root, bias-corrected), rate {RATE} min(1, (s + 1) / {WARMUP}) "
                 f"in step s, betas {BETAS[0]} and {BETAS[1]}, eps {EPS}; decay {DECAY} (times the rate of the step) on "
                 "every parameter of two or more dimensions, embeddings and routers included, 0 on the others. All "
                 f"gradients together are clipped to the norm {CLIP} (clip_grad_norm_). A tied matrix is one "
                 "parameter. No dropout.",
    "aux": "load_balancing_loss_func of transformers: with the rows of the routers of all layers one after another, p "
           "their softmax over all E experts and f[j, e] the share of rows whose j-th choice (of k) is expert e, it is "
           "E sum_e mean(p[e]) sum_j f[j, e]; f has no gradient. Trained is the loss + aux_coefficient aux; both are "
           "given apart.",
    "lora": f"PEFT's LoRA of every Linear but lm_head (all-linear), r {RANK}, alpha {ALPHA}, no dropout: "
            f"y = W x + alpha / r B A x. A [r, k] starts as sin(1 + i k + j) / sqrt(k) in f64, rounded to f32, B as 0. "
            "Only A and B are trained, by the same optimizer without decay.",
    "distill": f"The teacher is the model; the student starts as it with every matrix inside the blocks times {SHRUNK} "
               "(in f32; vectors and embeddings as they are) and all of it is trained. The loss is the mean over "
               "positions of KL(teacher || student) in nats.",
}


def windows_of(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = TEXT.read_text(encoding="utf-8")[:CHARACTERS]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    used = STEPS * WINDOWS * LENGTH
    assert len(ids) >= used, (folder, len(ids))
    return torch.tensor(ids[:used]).view(STEPS, WINDOWS, LENGTH)


def load(folder, dtype):
    # As f32 first: what is stored, whatever it is stored as.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                 experts_implementation="eager")
    model = model.to(dtype)
    model.eval()  # no dropout
    return model


def cross_entropy(model, batch):
    logits = model(batch[:, :-1], use_cache=False).logits
    return {"loss": F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())}


def balanced(model, batch):
    out = model(batch[:, :-1], use_cache=False, output_router_logits=True)
    loss = F.cross_entropy(out.logits.flatten(0, 1), batch[:, 1:].flatten())
    return {"loss": loss, "aux": out.aux_loss}


def distilled(teacher):
    def losses(model, batch):
        with torch.no_grad():
            wanted = teacher(batch[:, :-1], use_cache=False).logits.log_softmax(-1)
        got = model(batch[:, :-1], use_cache=False).logits.log_softmax(-1)
        return {"loss": F.kl_div(got, wanted, reduction="none", log_target=True).sum(-1).mean()}

    return losses


def train(model, data, losses, decay=DECAY):
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim >= 2], "weight_decay": decay},
              {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=RATE, betas=BETAS, eps=EPS)
    out = {}
    for step, batch in enumerate(data):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP)
        parts = losses(model, batch)
        optimizer.zero_grad()
        (parts["loss"] + AUX * parts.get("aux", 0.0)).backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        for name, value in parts.items():
            out.setdefault(name, []).append(value.item())
    return out


def plain(folder, dtype, losses=cross_entropy):
    return train(load(folder, dtype), windows_of(folder), losses), {}


def with_balance(folder, dtype):
    return plain(folder, dtype, balanced)[0], {"aux_coefficient": AUX}


def lora(folder, dtype):
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(folder, dtype), config)
    modules = []
    for name, module in model.named_modules():
        if not isinstance(module, peft.tuners.lora.Linear):
            continue
        modules.append(name.removeprefix("base_model.model."))
        a = module.lora_A["default"].weight
        k = a.shape[1]
        i, j = torch.meshgrid(torch.arange(RANK, dtype=torch.float64), torch.arange(k, dtype=torch.float64), indexing="ij")
        a.data.copy_((torch.sin(1 + i * k + j) / math.sqrt(k)).to(torch.float32))
        assert not module.lora_B["default"].weight.any()
    model.to(dtype)
    model.eval()
    return train(model, windows_of(folder), cross_entropy, decay=0.0), {"modules": modules}


def distill(folder, dtype):
    teacher, student = load(folder, dtype), load(folder, torch.float32)
    with torch.no_grad():
        for name, p in student.named_parameters():
            if p.ndim == 2 and ".h." in name:
                p.mul_(SHRUNK)
    return train(student.to(dtype), windows_of(folder), distilled(teacher)), {}


RUNS = {
    "gpt2": (plain, "models/gpt2-shakespeare"),
    "llama": (plain, "models/llama-shakespeare"),
    "mixtral": (plain, "archs/mixtral"),
    "mixtral_balanced": (with_balance, "archs/mixtral"),
    "llama_lora": (lora, "models/llama-shakespeare"),
    "gpt2_distill": (distill, "models/gpt2-shakespeare"),
}


def measure(run, folder):
    found, more = run(DATA / folder, torch.float32)
    exact, _ = run(DATA / folder, torch.float64)
    gap = max(abs(a - b) for name in found for a, b in zip(found[name], exact[name]))
    ids = windows_of(DATA / folder)
    return {"model": folder, **more, "first_ids": ids[0, 0, :8].tolist(), "last_ids": ids[-1, -1, -8:].tolist(), **found,
            "largest_difference_to_f64": gap}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("losses.json")
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    versions = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    result = {"rule": RULE, "text": str(TEXT.relative_to(DATA)), "characters": CHARACTERS, "steps": STEPS,
              "windows": WINDOWS, "window_ids": LENGTH, "made_with": versions, "runs": {}}
    for name, (run, folder) in RUNS.items():
        result["runs"][name] = measure(run, folder)
        print(name, result["runs"][name]["loss"][0], result["runs"][name]["loss"][-1],
              result["runs"][name]["largest_difference_to_f64"], flush=True)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


main()
