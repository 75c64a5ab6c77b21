"""A GPT-2 in PyTorch, as fast as it is written: answers lines "SHAPE PRECISION THREADS STEPS" with seconds a step.

A step is forward, backward, clipping and AdamW (fused). PRECISION: f32 or bf16 (autocast), either with
"-compiled" behind it for torch.compile. qlora-f32 and qlora-bf16: matrices of the blocks in nf4 by bitsandbytes, which
multiplies in that type, and PEFT's LoRA of rank 8 at each of them, which alone is trained.
"""

import functools
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

TOKENS = 256
SHAPES = {  # sequences, vocabulary, context, width, layers, heads
    "gpt2-shakespeare": (8, 2048, 256, 192, 6, 6),
    "gpt2-124m": (4, 50257, 1024, 768, 12, 12),
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(c, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def with_adapters(model, dtype):
    import bitsandbytes
    import peft

    for block in model.blocks:
        for name in ("qkv", "out", "up", "down"):
            plain = getattr(block, name)
            packed = bitsandbytes.nn.Linear4bit(plain.in_features, plain.out_features, compute_dtype=dtype, quant_type="nf4")
            packed.load_state_dict(plain.state_dict())
            setattr(block, name, packed.to("cpu"))
    model.requires_grad_(False)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["qkv", "out", "up", "down"])
    return peft.inject_adapter_in_model(config, model)


@functools.cache
def stepper(shape, precision):
    sequences, vocabulary, *rest = SHAPES[shape]
    torch.manual_seed(42)
    model = GPT2(vocabulary, *rest)
    kind, _, compiled = precision.partition("-")
    if kind == "qlora":
        model, compiled = with_adapters(model, getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[compiled])), ""
    run = torch.compile(model) if compiled else model
    groups = [{"params": [p for p in model.parameters() if p.requires_grad and (p.ndim > 1) == matrix], "weight_decay": 0.1 * matrix}
              for matrix in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    ids = torch.randint(vocabulary, (sequences, TOKENS + 1))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            loss = run(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def main():
    for line in sys.stdin:
        shape, precision, threads, steps = line.split()
        torch.set_num_threads(int(threads))
        step = stepper(shape, precision)
        start = time.perf_counter()
        for _ in range(int(steps)):
            loss = step()
        print((time.perf_counter() - start) / int(steps), loss, flush=True)


main()
