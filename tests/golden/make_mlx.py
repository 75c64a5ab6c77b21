"""Writes format/mlx.json: weights as mlx.core.quantize packs them in every mode, and what they stand for.

Made with mlx 0.32 on a CPU; run it again with
    python tests/golden/make_mlx.py
Values are scale * code + bias, each operation rounded to f32, of what is unpacked here; mlx.core.dequantize, which
may round to the type of the scales and fuse the two, must agree to a step of that type.
"""
import layout_cases
import mlx.core as mx
import numpy as np

# Mode, bits, group, type of the weights that are quantized.
CASES = [("affine", b, g, t) for b in (2, 3, 4, 5, 6, 8)
         for g, t in ((32, mx.float16), (64, mx.float32), (128, mx.bfloat16))]
CASES += [("mxfp4", 4, 32, mx.float32), ("mxfp8", 8, 32, mx.bfloat16), ("nvfp4", 4, 16, mx.float32)]
NAMES = {mx.float16: "F16", mx.float32: "F32", mx.bfloat16: "BF16", mx.uint8: "U8", mx.uint32: "U32"}
STEP = {mx.float16: 2.0 ** -10, mx.bfloat16: 2.0 ** -7, mx.float32: 2.0 ** -22}
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6], np.float32)
ROWS, COLUMNS = 2, 128


def e4m3(codes):
    codes = codes.astype(np.int32)
    exponent, digits = codes >> 3 & 15, (codes & 7).astype(np.float32)
    size = np.where(exponent == 0, digits * 2.0 ** -9, (8 + digits) * np.exp2(exponent - 10.0))
    return np.where(codes >> 7, -size, size).astype(np.float32)


def raw(array):
    if array.dtype == mx.bfloat16:
        return np.array(array.view(mx.uint16)).tobytes()
    return np.array(array).tobytes()


def floats(array):
    return np.array(array.astype(mx.float32))


def codes_of(words, bits):
    stream = np.unpackbits(np.array(words).view(np.uint8), axis=1, bitorder="little")
    return (stream.reshape(words.shape[0], -1, bits) << np.arange(bits)).sum(-1)


def spread(scales, group):
    return np.repeat(scales, group, axis=1)


def values_of(mode, bits, group, words, scales, biases=None):
    codes = codes_of(words, bits)
    if mode == "affine":
        return codes.astype(np.float32) * spread(floats(scales), group) + spread(floats(biases), group)
    sizes = np.array(scales)
    steps = e4m3(sizes) if mode == "nvfp4" else np.exp2(sizes.astype(np.float32) - 127)
    return (e4m3(codes) if bits == 8 else E2M1[codes]) * spread(steps, group)


def case_of(mode, bits, group, dtype):
    w = (mx.random.normal((ROWS, COLUMNS)) * mx.exp(mx.random.normal((ROWS, 1)))).astype(dtype)
    parts = mx.quantize(w, group_size=group, bits=bits, mode=mode)
    values = values_of(mode, bits, group, *parts)
    theirs = mx.dequantize(*parts, group_size=group, bits=bits, mode=mode)
    slack = STEP[theirs.dtype] * max(1, np.abs(values).max())
    assert np.abs(floats(theirs) - values).max() <= slack, (mode, bits, group)
    tensors = {name: layout_cases.tensor(NAMES[t.dtype], t.shape, raw(t))
               for name, t in zip(("x.weight", "x.scales", "x.biases"), parts)}
    return layout_cases.case({"group_size": group, "bits": bits, "mode": mode}, tensors, values)


mx.random.seed(19)
layout_cases.write("mlx.json", [case_of(*c) for c in CASES])
