"""nibble: makes language models small, proves what that cost, and runs them.

    import nibble

    m = nibble.open("gpt2", scheme="int4:g32")
    for piece in m.generate("Once upon a time", temperature=0.8):
        print(piece, end="", flush=True)

    nibble.quantize("gpt2", "gpt2-int4", scheme="int4:g32", method="gptq", calib="book.txt")
    print(nibble.evaluate("gpt2-int4", text="book.txt", against="gpt2").loss)

Keyword arguments are the options of the command, - written as _ : `nibble quantize --help`.
"""
from nibble._array import QuantizedArray, quantize_array
from nibble._core import instruction_set as _instruction_set
from nibble._core import version as _version
from nibble._errors import (Cancelled, Corrupt, Error, InvalidArgument, IoError, NibbleWarning,
                            NotFound, OutOfMemory, Unsupported)
from nibble._model import Model, Pieces, open
from nibble._results import Comparison, Result
from nibble._verbs import auto, compare, convert, evaluate, quantize, run

__version__ = _version()


def instruction_set() -> str:
    """Whose kernels are used on this processor: "avx512vnni"."""
    return _instruction_set()


__all__ = [
    "Cancelled", "Comparison", "Corrupt", "Error", "InvalidArgument", "IoError", "Model",
    "NibbleWarning", "NotFound", "OutOfMemory", "Pieces", "QuantizedArray", "Result", "Unsupported",
    "auto", "compare", "convert", "evaluate", "instruction_set", "open", "quantize",
    "quantize_array", "run",
]
