"""Writes format/gpt_oss_mxfp4.json: random experts as gpt-oss is published, and what transformers makes of them.

Made with transformers 5.24 and PyTorch 2.15; run it again with
    python tests/golden/make_gpt_oss_mxfp4.py
Values are those of convert_moe_packed_tensors, in f32: [experts, inputs, outputs].
"""
import layout_cases
import torch
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

EXPERTS, GATE_UP, DOWN, GROUPS = 3, 10, 7, 2


def case_of(name, rows):
    blocks = torch.randint(0, 256, (EXPERTS, rows, GROUPS, 16), dtype=torch.uint8)
    scales = torch.randint(110, 140, (EXPERTS, rows, GROUPS), dtype=torch.uint8)
    values = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    tensors = {f"{name}_blocks": layout_cases.tensor("U8", blocks.shape, blocks.numpy().tobytes()),
               f"{name}_scales": layout_cases.tensor("U8", scales.shape, scales.numpy().tobytes())}
    return layout_cases.case({"quant_method": "mxfp4"}, tensors, values.contiguous().numpy())


torch.manual_seed(23)
layout_cases.write("gpt_oss_mxfp4.json", [case_of("gate_up_proj", GATE_UP), case_of("down_proj", DOWN)])
