"""Writes format/gguf_blocks.json: random blocks of GGUF's types and what gguf-py decodes them to.

Made with gguf 0.19 and numpy 2; run it again with
    python tests/golden/make_gguf_blocks.py
Every bit pattern of codes and small scales occurs; what is left out is no finite scale: f16 with an exponent of
ones, MXFP4's scales from 254 on, and the top bit of NVFP4's, which are unsigned. Floats are written as the
hexadecimal digits of their f32 bits, so that nothing is rounded on the way.
"""
import json
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

BLOCKS = 2
# Where the f16 of a block stand.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "NVFP4": []}


def random_blocks(name, size, random):
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in HALVES[name]:
        half = random.integers(0, 0x7C00, BLOCKS).astype(np.uint16) | random.integers(0, 2, BLOCKS).astype(np.uint16) << 15
        blocks[:, at:at + 2] = half.astype("<u2").view(np.uint8).reshape(BLOCKS, 2)
    if name == "MXFP4":
        blocks[:, 0] = random.integers(0, 254, BLOCKS)
    if name == "NVFP4":
        blocks[:, :4] &= 0x7F
        blocks[0, 1] = 0x7F
    return blocks


def main():
    random = np.random.default_rng(19)
    out = {}
    for name in HALVES:
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = random_blocks(name, size, random)
        values = dequantize(blocks.reshape(-1), kind).astype(np.float32).reshape(-1)
        out[name] = {"id": int(kind), "elements": elements, "bytes": size, "blocks": blocks.tobytes().hex(),
                     "values": values.astype(">f4").tobytes().hex()}
    path = pathlib.Path(__file__).parent / "format" / "gguf_blocks.json"
    path.write_text(json.dumps(out, indent=0) + "\n")


main()
