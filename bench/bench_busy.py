"""nibble beside busy neighbours: how much of its idle speed is left when other processes keep cores busy.

usage: bench_busy.py NIBBLE [OLD] [--rounds 5] [--neighbours 0,1,2] [--models FOLDER] [--only SUBSTRING] [--json OUT]

Each round measures every number of neighbours in turn, and OLD (another build of nibble) beside NIBBLE where it is
given. A neighbour is a process that never sleeps. Figures are medians in tokens/s; what is left is the median over
the rounds of each figure over the idle one of the same round, with the least and the most of them.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys

FIGURES = ("prefill", "decode")
# name, arguments, what must be left of prefill and decode beside one and two neighbours on two cores
CASES = [
    ("gpt2-124m int8:a8", ["--shape", "gpt2-124m", "--scheme", "int8:a8", "--prefill", "256", "--decode", "64", "--runs", "5"]),
    ("llama-shakespeare f32", ["MODELS/llama-shakespeare", "--prefill", "128", "--decode", "96", "--runs", "20"]),
]
GOALS = {("prefill", 1): 0.5, ("prefill", 2): 0.35, ("decode", 1): 0.45, ("decode", 2): 0.3}


@contextlib.contextmanager
def neighbours(count):
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def bench(command, arguments):
    done = subprocess.run([command, "bench", *arguments, "--json"], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = json.loads(done.stdout)
    return {figure: out[f"{figure}_tokens_per_second"] for figure in FIGURES}


def measure(commands, arguments, counts, rounds):
    """{(command, neighbours): [a result a round]}"""
    results = {(c, n): [] for c in commands for n in counts}
    for turn in range(rounds):
        for n in counts:
            with neighbours(n):
                # Neither of two builds always comes first.
                for command in commands if turn % 2 == 0 else commands[::-1]:
                    results[command, n].append(bench(command, arguments))
    return results


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def rows(name, commands, counts, results):
    for figure in FIGURES:
        for n in counts:
            cells = [f"{name}, {figure}", str(n)]
            for command in commands:
                mine = [r[figure] for r in results[command, n]]
                idle = [r[figure] for r in results[command, counts[0]]]
                cells += [f"{statistics.median(mine):,.1f}", spread([a / b for a, b in zip(mine, idle)])]
            if len(commands) == 2:
                new, old = ([r[figure] for r in results[c, n]] for c in commands)
                cells.append(spread([a / b for a, b in zip(new, old)]))
            goal = GOALS.get((figure, n))
            yield cells + ["" if goal is None else f"{goal}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nibble")
    parser.add_argument("old", nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--neighbours", default="0,1,2")
    parser.add_argument("--models", default="../shared/data/models")
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    options = parser.parse_args()
    commands = [options.nibble] + ([options.old] if options.old else [])
    counts = [int(n) for n in options.neighbours.split(",")]
    heads = ["what", "neighbours", "tokens/s", "of idle"] + (["old", "of idle", "new / old"] if options.old else []) + ["goal"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    everything = {}
    for name, arguments in CASES:
        arguments = [a.replace("MODELS", options.models) for a in arguments]
        if options.only not in name or (not arguments[0].startswith("--") and not os.path.exists(arguments[0])):
            continue
        results = measure(commands, arguments, counts, options.rounds)
        for cells in rows(name, commands, counts, results):
            print("| " + " | ".join(cells) + " |", flush=True)
        everything[name] = {f"{os.path.basename(c)} {i} {n}": results[c, n] for i, c in enumerate(commands) for n in counts}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)


main()
