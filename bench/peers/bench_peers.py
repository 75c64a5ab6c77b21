"""Whole models and single products, nibble against the fastest peers on this machine, alternating in one run.

usage: bench_peers.py NIBBLE BENCH_KERNELS FOLDER [--runs 5] [--only SUBSTRING] [--json OUT] [--write DOCUMENT]

FOLDER keeps the peers' models between runs. Each row times one peer and nibble in turn, `runs` times;
figures are medians in tokens/s. Under NIBBLE_ISA=avx2 llama.cpp is to be built for AVX2 only: its rows alone are
run, with goals of 1. --write puts the tables into DOCUMENT, between the lines that mark them.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys

import products
from peer import Peer, llamacpp_model

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import marked_section

HERE = os.path.dirname(os.path.abspath(__file__))
PREFILL, DECODE, THREADS = 256, 64, 2
SHORT = 16  # tokens of a short prompt, behind which llama.cpp decodes the smallest model several times as fast
SMALL = {"stories260k"}  # on one thread, both sides

# shape, nibble's scheme, peer, the peer's type, goals of the ratio (prefill, decode; 0: none), prompt if not PREFILL
ROWS = [
    ("gpt2-124m", "f32", "llama.cpp", "F32", 0, 1.0),
    ("gpt2-124m", "bf16", "llama.cpp", "BF16", 0, 1.0),
    ("gpt2-124m", "int8:a8", "llama.cpp", "Q8_0", 4.5, 1.15),
    ("gpt2-124m", "int8:a8", "CTranslate2", "int8", 1.8, 0),
    ("gpt2-124m", "int4:g128:a8", "llama.cpp", "Q4_0", 0, 1.25),
    ("llama-1b", "int8:a8", "llama.cpp", "Q8_0", 5.0, 1.15),
    ("llama-1b", "int4:g128:a8", "llama.cpp", "Q4_0", 2.3, 1.25),
    ("llama-1b", "int4:g128:a8", "llama.cpp", "Q4_K_M", 0, 1.25),
    ("stories260k", "f32", "llama.cpp", "F32", 0, 3.0),
    ("stories260k", "f32", "llama.cpp", "F32", 0, 3.0, SHORT),
]


AVX2 = os.environ.get("NIBBLE_ISA") == "avx2"
PACKAGES = {"llama.cpp": "llama-cpp-python", "CTranslate2": "ctranslate2", "ONNX Runtime": "onnxruntime", "PyTorch": "torch"}


def rows():
    if not AVX2:
        return ROWS
    return [row[:4] + (1.0, 1.0) + row[6:] for row in ROWS if row[2] == "llama.cpp"]


def prompt_of(row):
    return row[6] if len(row) > 6 else PREFILL


def threads_for(shape):
    return 1 if shape in SMALL else THREADS


def nibble(command, shape, scheme, prompt):
    done = subprocess.run([command, "bench", "--shape", shape, "--scheme", scheme, "--threads", str(threads_for(shape)), "--prefill",
                           str(prompt), "--decode", str(DECODE), "--runs", "3", "--json"],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = json.loads(done.stdout)
    return out["prefill_tokens_per_second"], out["decode_tokens_per_second"]


def ct2_model(folder, _, kind):
    path = os.path.join(folder, f"ct2-{kind}")
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(HERE, "ct2.py"), "make", path, kind], check=True)
    return path


PEERS = {"llama.cpp": ("llamacpp.py", llamacpp_model), "CTranslate2": ("ct2.py", ct2_model)}


def measure(command, folder, row, runs):
    shape, scheme, name, kind, *_ = row
    script, make = PEERS[name]
    peer, ours, theirs = Peer(script, make(folder, shape, kind), threads_for(shape), prompt_of(row), DECODE), [], []
    for _ in range(runs):
        theirs.append(peer.run())
        ours.append(nibble(command, shape, scheme, prompt_of(row)))
    peer.close()
    return [[statistics.median(r[i] for r in side) for i in (0, 1)] for side in (ours, theirs)]


def verdict(ratio, goal):
    return f"{ratio:.2f}" + (f" (goal {goal})" if goal else "")


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def heading(command, runs):
    """Of what machine, when, and against which versions."""
    out = subprocess.run([command, "bench", "--shape", "stories260k", "--runs", "1", "--decode", "1", "--json"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    about = json.loads(out.stdout)
    peers = ["llama.cpp"] if AVX2 else PACKAGES
    installed = [f"{name} {version(PACKAGES[name])}" for name in peers if version(PACKAGES[name])]
    return (f"{about['cpu']}, {about['isa']}, {THREADS} threads, {datetime.date.today()}, medians of {runs} alternating runs; "
            f"{', '.join(installed)} (llama.cpp's is the version of llama-cpp-python).")


def whole_models(options, say):
    results = []
    say("| model | nibble | peer | prefill | | ratio | decode | | ratio |")
    say("|---|---|---|---|---|---|---|---|---|")
    for row in rows():
        shape, scheme, name, kind, prefill_goal, decode_goal = row[:6]
        if options.only not in f"{shape} {scheme} {name} {kind}":
            continue
        try:
            ours, theirs = measure(options.nibble, options.folder, row, options.runs)
        except (OSError, ValueError, ImportError, subprocess.CalledProcessError) as error:
            say(f"| {shape} | {scheme} | {name} {kind} | could not be measured: {error} |")
            continue
        ratios = [a / b for a, b in zip(ours, theirs)]
        behind = "" if prompt_of(row) == PREFILL else f", prompt of {prompt_of(row)}"
        results.append(dict(shape=shape, prompt=prompt_of(row), scheme=scheme, peer=name, type=kind, nibble=ours, theirs=theirs, ratios=ratios))
        say(f"| {shape}{behind} | {scheme} | {name} {kind} | {ours[0]:,.0f} | {theirs[0]:,.0f} | "
            f"{verdict(ratios[0], prefill_goal)} | {ours[1]:,.1f} | {theirs[1]:,.1f} | {verdict(ratios[1], decode_goal)} |")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nibble")
    parser.add_argument("bench_kernels")
    parser.add_argument("folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--write")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    lines = []

    def say(line):
        lines.append(line)
        print(line, flush=True)

    say(heading(options.nibble, options.runs))
    say("")
    results = {"models": whole_models(options, say)}
    if not AVX2:
        say("")
        results["products"] = products.table(options.bench_kernels, options.runs, options.only, say)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if options.write:
        marked_section.write(options.write, "bench-peers avx2" if AVX2 else "bench-peers", lines)


main()
