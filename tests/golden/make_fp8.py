"""Writes format/fp8.json: random fp8 weights with scales of blocks, and what transformers makes of them.

Made with transformers 5.24 and PyTorch 2.15; run it again with
    python tests/golden/make_fp8.py
Every finite code may occur. Values are those of _dequantize_fp8_weight, whose blocks may be ragged, and of
Fp8Dequantize where scales are bytes (exponents), in f32.
"""
import layout_cases
import torch
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, _dequantize_fp8_weight

# Shape, block, type of the scales.
CASES = [((10, 20), (4, 8), torch.float32), ((10, 20), (4, 8), torch.bfloat16), ((12, 24), (4, 8), torch.float16),
         ((6, 40), (128, 128), torch.float32), ((5, 7), None, torch.float32), ((3, 64), (1, 32), torch.uint8)]
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint8: "U8"}


def raw(t):
    return t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def random_weight(shape):
    codes = torch.randint(0, 254, shape, dtype=torch.uint8)
    codes[codes >= 127] += 1  # 127 and 255 are NaN
    return codes.view(torch.float8_e4m3fn)


def random_scales(shape, block, dtype):
    grid = [-(-s // b) for s, b in zip(shape, block)] if block else []
    if dtype == torch.uint8:
        return torch.randint(100, 140, grid, dtype=torch.uint8)
    return (torch.rand(grid) * 0.01 + 1e-4).to(dtype)


def case_of(shape, block, dtype):
    weight, scales = random_weight(shape), random_scales(shape, block, dtype)
    if dtype == torch.uint8:
        values = Fp8Dequantize(None)._dequantize_one(weight, scales, torch.float32)
    else:
        values = _dequantize_fp8_weight(weight, scales, list(block) if block else None, torch.float32)
    config = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
              "weight_block_size": list(block) if block else None, "modules_to_not_convert": ["lm_head"]}
    if dtype == torch.uint8:
        config["scale_fmt"] = "ue8m0"
    tensors = {"x.weight": layout_cases.tensor("F8_E4M3", shape, raw(weight)),
               "x.weight_scale_inv": layout_cases.tensor(NAMES[dtype], scales.shape, raw(scales))}
    return layout_cases.case(config, tensors, values.numpy())


torch.manual_seed(19)
layout_cases.write("fp8.json", [case_of(*c) for c in CASES])
