"""Times llama.cpp (through llama-cpp-python): reads "MODEL THREADS PREFILL DECODE" lines, answers with
the seconds of one prefill (last position's logits) and of a decode behind it."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time

import llama_cpp


def quantize(source, target, kind):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}") if kind != "F32" else llama_cpp.LLAMA_FTYPE_ALL_F32
    params.nthread = 2
    params.allow_requantize = True
    if kind == "Q4_0":
        params.pure = True  # every matrix, the head included
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
        sys.exit(f"llama.cpp cannot quantize {source} to {kind}")


def compiled_loop():
    """decode_loop() of llama_loop.c."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_loop.c")
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "llama_loop.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        loop = ctypes.CDLL(library).decode_loop
    loop.restype = ctypes.c_double
    loop.argtypes = [ctypes.c_void_p, llama_cpp.llama_batch, ctypes.POINTER(ctypes.c_int32), ctypes.c_int32,
                     ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p]
    return loop


def address(name):
    """Of a function of llama.cpp's library itself, not of the Python around it."""
    library = llama_cpp.llama_cpp._lib
    return ctypes.cast(getattr(library, name), ctypes.c_void_p)


class Runner:
    def __init__(self, path, threads, context):
        self.loop = compiled_loop()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), params)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = context
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.batch = llama_cpp.llama_batch_init(context, 0, 1)

    def feed(self, ids, start):
        b = self.batch
        b.n_tokens = len(ids)
        for i, token in enumerate(ids):
            b.token[i], b.pos[i], b.n_seq_id[i] = token, start + i, 1
            b.seq_id[i][0], b.logits[i] = 0, i == len(ids) - 1
        if llama_cpp.llama_decode(self.context, b) != 0:
            sys.exit("llama_decode failed")
        llama_cpp.llama_get_logits_ith(self.context, len(ids) - 1)

    def run(self, prefill, decode):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        ids = [(i * 7919 + 13) % 500 for i in range(prefill + decode)]
        start = time.perf_counter()
        self.feed(ids[:prefill], 0)
        middle = time.perf_counter()
        rest = (ctypes.c_int32 * decode)(*ids[prefill:])
        seconds = self.loop(self.context, self.batch, rest, prefill, decode, address("llama_decode"),
                            address("llama_get_logits_ith"))
        if seconds < 0:
            sys.exit("llama_decode failed")
        return middle - start, seconds


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "quantize":
        return quantize(*sys.argv[2:])
    runners = {}
    for line in sys.stdin:
        path, threads, prefill, decode = line.split()
        key = (path, threads)
        if key not in runners:
            runners.clear()
            runners[key] = Runner(path, int(threads), int(prefill) + int(decode))
            runners[key].run(int(prefill), int(decode))  # warm
        seconds = runners[key].run(int(prefill), int(decode))
        print(*seconds, flush=True)


main()
