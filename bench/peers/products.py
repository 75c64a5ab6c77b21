"""One matrix product, f32 in and f32 out, nibble against ONNX Runtime and PyTorch, in turn in one run.

256 rows: GOP/s. One row: milliseconds, over as many copies of the weight as no cache holds together.
A peer that is not installed is said to be missing. Used by bench_peers.py.
"""

import statistics
import subprocess
import time

K, N, ROWS, THREADS = 2048, 5632, 256, 2
BEYOND_CACHES = 160 << 20  # bytes, as bench/kernels_bench.cc has it

# nibble's scheme, the peer, what it runs
ROWS_OF_TABLE = [
    ("int8:a8", "ONNX Runtime", "int8"),
    ("int8:a8", "PyTorch", "int8"),
    ("int4:g128:a8", "ONNX Runtime", "int4 block 128"),
    ("int4:g32:a8", "ONNX Runtime", "int4 block 32"),
    ("bf16", "PyTorch", "bf16"),
    ("f32", "PyTorch", "f32"),
]
BYTES = {"int8": K * N, "int4 block 128": K * N // 2, "int4 block 32": K * N // 2, "bf16": 2 * K * N, "f32": 4 * K * N}


def onnx_nodes(kind, copies, random):
    """(nodes, initializers) of `copies` products of the same input with unlike weights."""
    import numpy as np
    from onnx import helper, numpy_helper

    nodes, tensors = [], []

    def keep(name, array):
        tensors.append(numpy_helper.from_array(array, name))
        return name

    if kind == "int8":
        nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    for i in range(copies):
        if kind == "int8":
            w = keep(f"w{i}", random.integers(-127, 128, (K, N), dtype=np.int8))
            scale = keep(f"ws{i}", np.full(N, 0.01, np.float32))
            nodes += [helper.make_node("MatMulInteger", ["q", w, "z"], [f"i{i}"]),
                      helper.make_node("Cast", [f"i{i}"], [f"f{i}"], to=1),
                      helper.make_node("Mul", ["s", scale], [f"m{i}"]),
                      helper.make_node("Mul", [f"f{i}", f"m{i}"], [f"y{i}"])]
        else:
            block = int(kind.split()[-1])
            w = keep(f"w{i}", random.integers(0, 256, (N, K // block, block // 2), dtype=np.uint8))
            scale = keep(f"ws{i}", np.full(N * (K // block), 0.01, np.float32))
            nodes.append(helper.make_node("MatMulNBits", ["x", w, scale], [f"y{i}"], domain="com.microsoft", K=K, N=N,
                                          bits=4, block_size=block, accuracy_level=4))
    return nodes, tensors


def onnx_product(kind, copies):
    import numpy as np
    import onnxruntime
    from onnx import helper

    nodes, tensors = onnx_nodes(kind, copies, np.random.default_rng(42))
    outputs = [helper.make_tensor_value_info(f"y{i}", 1, ["m", N]) for i in range(copies)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, ["m", K])], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def prepare(rows):
        binding = session.io_binding()  # outputs made once: a fresh one would be page faults first of all
        binding.bind_cpu_input("x", np.full((rows, K), 0.5, np.float32))
        for i in range(copies):
            binding.bind_ortvalue_output(f"y{i}", onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((rows, N), np.float32)))
        return lambda: session.run_with_iobinding(binding)

    return prepare


def torch_product(kind, copies):
    import torch

    torch.set_num_threads(THREADS)
    layers = [torch.nn.Linear(K, N, bias=False) for _ in range(copies)]
    if kind == "bf16":
        layers = [layer.bfloat16() for layer in layers]
    if kind == "int8":
        layers = [torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), {torch.nn.Linear}) for layer in layers]

    def prepare(rows):
        x = torch.full((rows, K), 0.5)

        def run():
            with torch.inference_mode():
                for layer in layers:
                    layer(x.bfloat16()).float() if kind == "bf16" else layer(x)

        return run

    return prepare


MAKERS = {"ONNX Runtime": onnx_product, "PyTorch": torch_product}


def seconds(run, times):
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def nibble(command, scheme):
    """(GOP/s of 256 rows, ms of one) that bench_kernels prints for THREADS threads."""
    out = subprocess.run([command, f"--benchmark_filter={scheme}"], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        fields = line.split()
        if fields[:2] == [scheme, str(THREADS)]:
            return float(fields[2]), float(fields[5])
    raise ValueError(f"{command} prints no line of {scheme} with {THREADS} threads")


def measure(command, row, runs):
    scheme, peer, kind = row
    copies = -(-BEYOND_CACHES // BYTES[kind])
    many, one = MAKERS[peer](kind, 1)(ROWS), MAKERS[peer](kind, copies)(1)
    seconds(many, 5), seconds(one, 2)  # warm
    ours, theirs = [], []
    for _ in range(runs):
        theirs.append((2e-9 * ROWS * K * N / seconds(many, 20), 1e3 * seconds(one, 5) / copies))
        ours.append(nibble(command, scheme))
    return [[statistics.median(r[i] for r in side) for i in (0, 1)] for side in (ours, theirs)]


def table(command, runs, only, say):
    """Says the table line by line; gives the results for JSON."""
    results = []
    say(f"| {K} x {N} weight, {THREADS} threads | peer | 256 rows, GOP/s | | ratio | one row, ms | | ratio |")
    say("|---|---|---|---|---|---|---|---|")
    for row in ROWS_OF_TABLE:
        scheme, peer, kind = row
        if only not in f"product {scheme} {peer} {kind}":
            continue
        try:
            ours, theirs = measure(command, row, runs)
        except (OSError, ValueError, ImportError, RuntimeError, subprocess.CalledProcessError) as error:
            say(f"| {scheme} | {peer} {kind} | could not be measured: {error} |")
            continue
        ratios = [ours[0] / theirs[0], theirs[1] / ours[1]]
        results.append(dict(scheme=scheme, peer=peer, type=kind, nibble=ours, theirs=theirs, ratios=ratios))
        say(f"| {scheme} | {peer} {kind} | {ours[0]:,.0f} | {theirs[0]:,.0f} | {ratios[0]:.2f} | "
            f"{ours[1]:.3f} | {theirs[1]:.3f} | {ratios[1]:.2f} |")
    return results
