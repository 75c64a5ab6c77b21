"""What the scripts that write goldens of layouts share: a case is a config, the tensors of one weight "x" as files
hold them, and what they stand for, f32. Bytes are hexadecimal; those of f32 values most significant first."""
import json
import pathlib

import numpy as np


def tensor(dtype, shape, raw):
    """`raw` as little-endian bytes of a safetensors dtype."""
    return {"dtype": dtype, "shape": list(shape), "bytes": raw.hex()}


def floats(values):
    return np.ascontiguousarray(values, np.float32).astype(">f4").tobytes().hex()


def case(config, tensors, values, **more):
    return {"config": config, "tensors": tensors, "shape": list(values.shape), "values": floats(values), **more}


def write(name, cases):
    path = pathlib.Path(__file__).parent / "format" / name
    path.write_text(json.dumps(cases, indent=0) + "\n")
