"""Writes quant/float_formats.json: weights as bitsandbytes and compressed-tensors quantize them.

Made with torch 2.15, bitsandbytes 0.50.2 and compressed-tensors 0.20; run it again with
    python tests/golden/make_float_formats.py
Floats are written as the hexadecimal digits of their f32 bits, so that nothing is rounded on the way.
"""
import json
import pathlib
import struct

import bitsandbytes.functional as bnb
import torch
from compressed_tensors.compressors.nvfp4.helpers import pack_fp4_to_uint8
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam


def floats(tensor):
    data = tensor.detach().to(torch.float32).flatten().contiguous()
    return "".join(struct.pack(">f", v).hex() for v in data.tolist())


def raw(tensor):
    return bytes(tensor.contiguous().view(torch.uint8).flatten().tolist()).hex()


def weights(seed, n, k):
    torch.manual_seed(seed)
    w = torch.randn(n, k) * torch.logspace(-3, 1, n)[:, None]
    w[1, :64] = 0
    w[2, 5] = 40
    return w


def bitsandbytes_case(kind, block, double, w):
    packed, state = bnb.quantize_4bit(w, blocksize=block, quant_type=kind, compress_statistics=double)
    out = {"type": kind, "block": block, "double": double, "packed": raw(packed),
           "values": floats(bnb.dequantize_4bit(packed, state))}
    if double:
        out |= {"absmax": raw(state.absmax), "nested_absmax": floats(state.state2.absmax),
                "nested_offset": floats(state.offset)}
    else:
        out["absmax"] = floats(state.absmax)
    return out


def compressed_case(kind, args, w):
    grouped = w.reshape(w.shape[0], -1, args.group_size or w.shape[1])
    gparam = generate_gparam(w.min(), w.max()) if kind == "nvfp4" else None
    scale, zero = calculate_qparams(grouped.amin(-1), grouped.amax(-1), args, global_scale=gparam)
    codes = quantize(w, scale, zero, args, global_scale=gparam)
    values = dequantize(codes, scale, zero, args, global_scale=gparam)
    out = {"type": kind, "values": floats(values), "scales": floats(scale)}
    if kind == "fp8_e4m3":
        out["codes"] = raw(codes.to(torch.float8_e4m3fn))
    else:
        out["packed"] = raw(pack_fp4_to_uint8(codes.to(torch.float32)))
    if gparam is not None:
        out["global"] = floats(gparam)
    return out


def main():
    w = weights(7, 6, 128)
    args = {
        "nvfp4": QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16,
                                  scale_dtype=torch.float8_e4m3fn),
        "mxfp4": QuantizationArgs(num_bits=4, type="float", strategy="group", group_size=32,
                                  scale_dtype=torch.uint8),
        "fp8_e4m3": QuantizationArgs(num_bits=8, type="float", strategy="channel"),
    }
    out = {
        "nf4": floats(bnb.get_4bit_type("nf4", device="cpu")),
        "fp4": floats(bnb.get_4bit_type("fp4", device="cpu")),
        "dynamic_map": floats(bnb.create_dynamic_map()),
        "shape": list(w.shape),
        "weights": floats(w),
        "bitsandbytes": [bitsandbytes_case(kind, block, double, w) for kind in ("nf4", "fp4")
                         for block in (64, 128) for double in (False, True)],
        "compressed_tensors": [compressed_case(kind, a, w) for kind, a in args.items()],
    }
    path = pathlib.Path(__file__).parent / "quant" / "float_formats.json"
    path.write_text(json.dumps(out, indent=0) + "\n")


main()
