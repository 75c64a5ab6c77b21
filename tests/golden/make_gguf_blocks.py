"""Writes format/gguf_blocks.json: random blocks of GGUF's types and what gguf-py decodes them to; and
format/gguf_codebooks.json: blocks that name every row of the codebooks, and a hash of what those decode to.

Made with gguf 0.19 and numpy 2; run it again with
    python tests/golden/make_gguf_blocks.py
Every bit pattern of codes and small scales occurs; what is left out is no finite scale: f16 with an exponent of
ones, MXFP4's scales from 254 on, and the top bit of NVFP4's, which are unsigned. Floats are written as the
hexadecimal digits of their f32 bits, so that nothing is rounded on the way. gguf-py does not decode Q1_0 and Q2_0:
their values are computed here, by ggml-quants.c (dequantize_row_q1_0 and _q2_0, read 2026-11).
"""
import json
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

FOLDER = pathlib.Path(__file__).parent / "format"
BLOCKS = 2
# Where the f16 of a block stand.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "NVFP4": [],
          "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [],
          "TQ1_0": [52], "TQ2_0": [64], "Q1_0": [0], "Q2_0": [0]}
# Elements and bytes of a block, number.
NOT_IN_GGUF_PY = {"Q1_0": (128, 18, 41), "Q2_0": (64, 18, 42)}


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
    if name == "IQ1_M":
        blocks[:, 55] &= 0xBF  # the second bit of its f16
    return blocks


def by_hand(name, blocks):
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    bits = {"Q1_0": 1, "Q2_0": 2}[name]
    codes = (blocks[:, 2:, None] >> np.arange(0, 8, bits) & (1 << bits) - 1).reshape(len(blocks), -1)
    return scale * (2.0 * codes - 1 if bits == 1 else codes - 1.0).astype(np.float32)


def decode(name, blocks):
    if name in NOT_IN_GGUF_PY:
        return by_hand(name, blocks)
    return dequantize(blocks.reshape(-1), GGMLQuantizationType[name]).astype(np.float32).reshape(-1)


def golden_blocks():
    random = np.random.default_rng(19)
    out = {}
    for name in HALVES:
        if name in NOT_IN_GGUF_PY:
            elements, size, number = NOT_IN_GGUF_PY[name]
        else:
            elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
            number = int(GGMLQuantizationType[name])
        blocks = random_blocks(name, size, random)
        values = decode(name, blocks)
        out[name] = {"id": number, "elements": elements, "bytes": size, "blocks": blocks.tobytes().hex(),
                     "values": values.astype(">f4").tobytes().hex()}
    return out


def word(bits, size):
    """Fields of some bits each, the first lowest."""
    value = 0
    for count, field in reversed(bits):
        value = value << count | int(field) & (1 << count) - 1
    return value.to_bytes(size, "little")


def codebook_block(name, rows, more):
    """A block that names these rows; `more` are 32 bytes of signs and other bits."""
    one, eights = b"\x00\x3c", range(8)
    low = bytes(r & 255 for r in rows)
    if name in ("IQ2_XXS", "IQ3_XXS"):
        each = len(rows) // 8
        tails = [word([(7, more[4 * g + i]) for i in range(4)] + [(4, g)], 4) for g in eights]
        if name == "IQ3_XXS":
            return one + low + b"".join(tails)
        return one + b"".join(low[each * g:each * (g + 1)] + tails[g] for g in eights)
    if name == "IQ2_XS":
        return one + b"".join(word([(9, r), (7, m)], 2) for r, m in zip(rows, more)) + more[:8]
    if name == "IQ2_S":
        return one + low + more + b"".join(word([(2, r >> 8) for r in rows[4 * g:4 * g + 4]], 1) for g in eights) + more[:8]
    if name == "IQ3_S":
        return one + low + b"".join(word([(1, r >> 8) for r in rows[8 * g:8 * g + 8]], 1) for g in eights) + more + more[:4]
    if name == "IQ1_S":
        return one + low + b"".join(
            word([(3, r >> 8) for r in rows[4 * g:4 * g + 4]] + [(4, more[g])], 2) for g in eights)
    high = b"".join(word([f for i in (2 * g, 2 * g + 1) for f in ((3, rows[i] >> 8), (1, more[i]))], 1) for g in range(16))
    return low + high + b"".join(
        word([(3, more[4 * g + i]) for i in range(4)] + [(4, 0x3C00 >> 4 * g)], 2) for g in range(4))


def hash_of(data):
    """FNV-1a of 64 bits."""
    out = 0xCBF29CE484222325
    for byte in data:
        out = (out ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{out:016x}"


def golden_codebooks():
    random = np.random.default_rng(7)
    out = {}
    for name, count in {"IQ1_S": 2048, "IQ1_M": 2048, "IQ2_XXS": 256, "IQ2_XS": 512, "IQ2_S": 1024, "IQ3_XXS": 256,
                        "IQ3_S": 512}.items():
        each = 64 if name.startswith("IQ3") else 32
        order = random.permutation(count)
        blocks = b"".join(codebook_block(name, [int(r) for r in order[i:i + each]], random.bytes(32))
                          for i in range(0, count, each))
        values = decode(name, np.frombuffer(blocks, dtype=np.uint8))
        out[name] = {"blocks": blocks.hex(), "fnv1a": hash_of(values.astype("<f4").tobytes())}
    return out


def main():
    for name, golden in (("gguf_blocks", golden_blocks()), ("gguf_codebooks", golden_codebooks())):
        (FOLDER / f"{name}.json").write_text(json.dumps(golden, indent=0) + "\n")


main()
