"""nibble against itself, alternating in one run: threads, sequences, contexts, number formats.

usage: bench_self.py NIBBLE [--runs 5] [--only SUBSTRING] [--json OUT] [--write DOCUMENT]

Each row times its two sides in turn, `runs` times; figures are medians in tokens/s, and the ratio is the
median of the ratios of neighbours in time. --write puts the table into DOCUMENT, between the lines that mark it.
"""

import argparse
import datetime
import json
import statistics
import subprocess

import marked_section

PREFILL, DECODE = "prefill_tokens_per_second", "decode_tokens_per_second"
INT4 = "int4:g128:a8"
MARK = "bench-self"


def prefill(threads):
    return ["--threads", str(threads), "--prefill", "256", "--decode", "1", "--runs", "3"]


def decode(behind, *more, runs=3, tokens=64):
    return ["--threads", "2", "--prefill", str(behind), "--decode", str(tokens), "--runs", str(runs), *more]


# what, shape, figure, (scheme, arguments) of either side, goal of the first over the second
ROWS = [
    ("prefill of 256, two threads and one", "gpt2-124m", PREFILL, ("int8:a8", prefill(2)), ("int8:a8", prefill(1)), 1.8),
    ("prefill of 256, two threads and one", "gpt2-124m", PREFILL, (INT4, prefill(2)), (INT4, prefill(1)), 1.8),
    ("prefill of 256, two threads and one", "llama-1b", PREFILL, ("int8:a8", prefill(2)), ("int8:a8", prefill(1)), 1.8),
    ("prefill of 256, two threads and one", "llama-1b", PREFILL, (INT4, prefill(2)), (INT4, prefill(1)), 1.8),
    ("decode, int8 and f32", "gpt2-124m", DECODE, ("int8:a8", decode(16)), ("f32", decode(16)), 3),
    ("decode, int4 and f32", "gpt2-124m", DECODE, (INT4, decode(16)), ("f32", decode(16)), 5),
    ("decode, int8 and f32", "llama-1b", DECODE, ("int8:a8", decode(16)), ("f32", decode(16, tokens=16)), 3),
    ("decode, int4 and f32", "llama-1b", DECODE, (INT4, decode(16)), ("f32", decode(16, tokens=16)), 5),
    ("eight sequences and one, behind 64", "llama-1b", DECODE, (INT4, decode(64, "--sequences", "8")), (INT4, decode(64)), 4),
    ("eight sequences and one, f16 cache, behind 64", "gpt2-124m", DECODE,
     (INT4, decode(64, "--sequences", "8", "--kv", "f16")), (INT4, decode(64, "--kv", "f16")), 4),
    ("decode behind 4,064 and behind 16, f16 cache", "llama-1b", DECODE,
     (INT4, decode(4064, "--kv", "f16", runs=1, tokens=32)), (INT4, decode(16, "--kv", "f16", runs=1, tokens=32)), 0.6),
]


def nibble(command, shape, side, figure):
    scheme, arguments = side
    done = subprocess.run([command, "bench", "--shape", shape, "--scheme", scheme, "--json", *arguments], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = json.loads(done.stdout)
    return out[figure], out


def measure(command, row, runs):
    _, shape, figure, first, second, _ = row
    pairs, about = [], None
    for _ in range(runs):
        one, about = nibble(command, shape, first, figure)
        pairs.append((one, nibble(command, shape, second, figure)[0]))
    medians = [statistics.median(pair[i] for pair in pairs) for i in (0, 1)]
    return medians, statistics.median(a / b for a, b in pairs), about


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nibble")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--write")
    options = parser.parse_args()
    lines, results = [], []
    for row in ROWS:
        what, shape, _, (scheme, _), _, goal = row
        if options.only not in f"{shape} {what} {scheme}":
            continue
        medians, ratio, about = measure(options.nibble, row, options.runs)
        if not lines:
            lines = [f"{about['cpu']}, {about['isa']}, {datetime.date.today()}, medians of {options.runs} alternating runs.", "",
                     "| what | model | tokens/s | | ratio |", "|---|---|---|---|---|"]
            print("\n".join(lines), flush=True)
        lines.append(f"| {what} | {shape} {scheme} | {medians[0]:,.1f} | {medians[1]:,.1f} | {ratio:.2f} (goal {goal}) |")
        print(lines[-1], flush=True)
        results.append(dict(what=what, shape=shape, scheme=scheme, medians=medians, ratio=ratio, goal=goal))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if options.write:
        marked_section.write(options.write, MARK, lines)


main()
