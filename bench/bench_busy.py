"""nibble beside busy neighbours: how much of its idle speed is left when other processes keep cores busy.

usage: bench_busy.py NIBBLE [OLD] [--peers FOLDER] [--rounds 5] [--neighbours 0,1,2] [--models FOLDER]
                     [--only SUBSTRING] [--json OUT] [--write DOCUMENT]

Each round measures every number of neighbours in turn, and beside NIBBLE another build of it (OLD) or llama.cpp
(--peers: its models are kept in FOLDER), if wanted. A neighbour is a process that never sleeps. Figures are medians in
tokens/s; what is left is the median over the rounds of each figure over the idle one of the same round, with the least
and the most of them, and so is the ratio. --write puts the table into DOCUMENT, between the lines that mark it.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")]
import marked_section
from peer import Peer, llamacpp_model

FIGURES = ("prefill", "decode")
# name, nibble's arguments, tokens of the prompt and behind it, runs, llama.cpp's model and its type
CASES = [
    ("gpt2-124m int8:a8", ["--shape", "gpt2-124m", "--scheme", "int8:a8"], 256, 64, 5, "gpt2-124m", "Q8_0"),
    ("llama-shakespeare f32", ["MODELS/llama-shakespeare"], 128, 96, 20, "llama-shakespeare", "F32"),
]
# What must be left of an idle machine's speed beside one and two neighbours on two cores.
GOALS = {("prefill", 1): 0.5, ("prefill", 2): 0.35, ("decode", 1): 0.45, ("decode", 2): 0.3}
THREADS = len(os.sched_getaffinity(0))


@contextlib.contextmanager
def neighbours(count):
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


class Nibble:
    def __init__(self, command, case, models):
        _, model, prompt, decode, runs, *_ = case
        self.arguments = [command, "bench", *(a.replace("MODELS", models) for a in model), "--prefill", str(prompt),
                          "--decode", str(decode), "--runs", str(runs), "--json"]

    def measure(self):
        done = subprocess.run(self.arguments, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        out = json.loads(done.stdout)
        self.machine = f"{out['cpu']}, {out['isa']}"
        return {figure: out[f"{figure}_tokens_per_second"] for figure in FIGURES}


class LlamaCpp:
    def __init__(self, folder, case):
        *_, prompt, decode, self.runs, shape, kind = case
        self.peer = Peer("llamacpp.py", llamacpp_model(folder, shape, kind), THREADS, prompt, decode)

    def measure(self):
        results = [self.peer.run() for _ in range(self.runs)]
        return {figure: statistics.median(r[i] for r in results) for i, figure in enumerate(FIGURES)}


def measure(contenders, counts, rounds):
    """{(name, neighbours): [a result a round]}"""
    results = {(c, n): [] for c in contenders for n in counts}
    for turn in range(rounds):
        for n in counts:
            with neighbours(n):
                # Neither of two always comes first.
                for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
                    results[name, n].append(contenders[name].measure())
    return results


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def rows(case, names, counts, results):
    for figure in FIGURES:
        for n in counts:
            cells = [f"{case}, {figure}", str(n)]
            for name in names:
                its = [r[figure] for r in results[name, n]]
                idle = [r[figure] for r in results[name, counts[0]]]
                cells += [f"{statistics.median(its):,.1f}", spread([a / b for a, b in zip(its, idle)])]
            if len(names) == 2:
                ours, other = ([r[figure] for r in results[name, n]] for name in names)
                cells.append(spread([a / b for a, b in zip(ours, other)]))
            yield cells + [str(GOALS.get((figure, n), ""))]


def contenders_for(case, options):
    out = {"nibble": Nibble(options.nibble, case, options.models)}
    if options.old:
        out["old"] = Nibble(options.old, case, options.models)
    elif options.peers:
        out["llama.cpp"] = LlamaCpp(options.peers, case)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nibble")
    parser.add_argument("old", nargs="?")
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--neighbours", default="0,1,2")
    parser.add_argument("--models", default="../shared/data/models")
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--write")
    options = parser.parse_args()
    counts = [int(n) for n in options.neighbours.split(",")]
    other = "old" if options.old else "llama.cpp" if options.peers else None
    heads = ["what", "neighbours", "tokens/s", "of idle"] + ([other, "of idle", "ratio"] if other else []) + ["goal"]
    lines, everything = [], {}

    def say(line):
        lines.append(line)
        print(line, flush=True)

    say("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for case in CASES:
        name, model = case[0], case[1][0].replace("MODELS", options.models)
        if options.only not in name or not (model.startswith("--") or os.path.exists(model)):
            continue
        contenders = contenders_for(case, options)
        results = measure(contenders, counts, options.rounds)
        for cells in rows(name, list(contenders), counts, results):
            say("| " + " | ".join(cells) + " |")
        everything[name] = {f"{c} {n}": results[c, n] for c in contenders for n in counts}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    if options.write:
        about = f"{contenders['nibble'].machine}, {THREADS} threads, {datetime.date.today()}, {options.rounds} rounds."
        marked_section.write(options.write, "bench-busy", [about, "", *lines])


main()
