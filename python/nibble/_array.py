"""The arithmetic alone."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import numpy.typing as npt

from nibble import _core
from nibble._errors import InvalidArgument


@dataclass(frozen=True)
class QuantizedArray:
    """A matrix [rows, columns] in a scheme. codes are unsigned: a symmetric integer code c of b bits
    stands there as c + 2**(b-1). scales, zeros and offsets are [rows, groups], or [1, 1]."""
    scheme: str
    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    zeros: Optional[npt.NDArray[np.uint8]]
    offsets: Optional[npt.NDArray[np.float32]]
    #: What all of it stands for.
    values: npt.NDArray[np.float32]
    bits_per_weight: float
    #: Mean squared error of an output, tr(dW H dW^T) / rows; None without a Hessian.
    error: Optional[float]
    #: What one should know of it, or nothing.
    note: str


def quantize_array(w: npt.ArrayLike, scheme: str, hessian: Optional[npt.ArrayLike] = None, *,
                   method: Optional[str] = None, scale_dtype: str = "f16",
                   threads: int = 0) -> QuantizedArray:
    """A matrix [outputs, inputs] quantized by itself: by gptq where `hessian` [inputs, inputs], the
    mean of x x^T over inputs x, is given, else to nearest, unless `method` says otherwise."""
    matrix = np.ascontiguousarray(w, dtype=np.float32)
    if matrix.ndim != 2:
        raise InvalidArgument(f"expected a matrix, found {matrix.ndim} extents")
    h = None if hessian is None else np.ascontiguousarray(hessian, dtype=np.float32)
    if h is not None and h.shape != (matrix.shape[1], matrix.shape[1]):
        raise InvalidArgument(f"hessian: expected {[matrix.shape[1]] * 2}, found {list(h.shape)}")
    return QuantizedArray(**_core.quantize_array(matrix, scheme, h, method or "", scale_dtype,
                                                 threads))
