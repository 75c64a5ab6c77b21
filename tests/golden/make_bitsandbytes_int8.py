"""Writes format/bitsandbytes_int8.json: weights that bitsandbytes rounds to 8 bits, what they stand for, and a
product with inputs some of which are outliers, as LLM.int8() computes it.

Made with bitsandbytes 0.50 and PyTorch 2.15; run it again with
    python tests/golden/make_bitsandbytes_int8.py
Each row of the inputs is multiplied alone: of several rows bitsandbytes leaves out whole columns, nibble values.
Inputs are chosen so that f16, to which bitsandbytes rounds them first, holds them.
"""
import bitsandbytes as bnb
import layout_cases
import torch

SHAPES = [(5, 7), (3, 64), (1, 1), (6, 130)]
ROWS = 3


def raw(t):
    return t.contiguous().numpy().tobytes()


def inputs(k, threshold):
    x = torch.randn(ROWS, k).half().float()
    if threshold:
        x[:, ::5] *= 4
        x[0, 0] = threshold + 1
    return x


def case_of(shape, threshold):
    layer = bnb.nn.Linear8bitLt(shape[1], shape[0], bias=False, has_fp16_weights=False, threshold=threshold)
    layer.weight = bnb.nn.Int8Params(torch.randn(shape), requires_grad=False, has_fp16_weights=False)
    layer = layer.to("cpu").eval()
    x = inputs(shape[1], threshold)
    with torch.no_grad():
        y = torch.cat([layer(row[None]) for row in x])
    state = layer.state_dict()
    weight, largest = state["weight"], state["SCB"]
    values = bnb.functional.int8_vectorwise_dequant(weight, largest)
    tensors = {"x.weight": layout_cases.tensor("I8", weight.shape, raw(weight)),
               "x.SCB": layout_cases.tensor("F32", largest.shape, raw(largest)),
               "x.weight_format": layout_cases.tensor("U8", [], raw(state["weight_format"]))}
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "_load_in_8bit": True, "load_in_4bit": False,
              "llm_int8_threshold": threshold, "llm_int8_skip_modules": None,
              "llm_int8_enable_fp32_cpu_offload": False, "llm_int8_has_fp16_weight": False}
    return layout_cases.case(config, tensors, values.float().numpy(), inputs=layout_cases.floats(x.numpy()),
                             products=layout_cases.floats(y.numpy()))


torch.manual_seed(19)
layout_cases.write("bitsandbytes_int8.json", [case_of(s, t) for s in SHAPES for t in (6.0, 0.0, 4.5)])
