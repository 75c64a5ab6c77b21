"""A step of training, nibble against PyTorch, in turn in one run.

usage: steps.py BENCH_STEP [--runs 7] [--only SUBSTRING] [--json OUT]

Two threads that wait for each other lose far more to a busy neighbour than one process of any other kind: PyTorch's
step took 5 to 18 times as long beside compilers, nibble's 2 to 6 times. So a pair of measurements counts only where
other processes used less than QUIET cores during both; a row without LEAST of them is not reported.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
THREADS, QUIET, LEAST = 2, 0.08, 3
TICKS = os.sysconf("SC_CLK_TCK")

# shape, precision here and there, steps a measurement, goal of the ratio (0: none)
ROWS = [
    ("gpt2-shakespeare", "f32", "f32", 3, 1.5),
    ("gpt2-shakespeare", "f32", "f32-compiled", 3, 0),
    ("gpt2-shakespeare", "bf16", "bf16", 3, 1.0),
    ("gpt2-shakespeare", "bf16", "bf16-compiled", 3, 0),
    ("gpt2-124m", "f32", "f32", 1, 0),
    ("gpt2-124m", "bf16", "bf16", 1, 0),
    ("gpt2-124m", "lora-nf4:g64", "qlora-f32", 1, 2.0),
    ("gpt2-124m", "lora-nf4:g64", "qlora-bf16", 1, 0),
]


def busy_seconds():
    """Of all cores together, by any process."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS


class Server:
    """A process that answers "SHAPE PRECISION THREADS STEPS" with seconds a step."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def own_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def run(self, shape, precision, steps):
        """Seconds a step, and the cores that others used meanwhile."""
        start, busy, own = time.monotonic(), busy_seconds(), self.own_seconds()
        self.process.stdin.write(f"{shape} {precision} {THREADS} {steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(f"{shape} {precision}: no answer")
        others = busy_seconds() - busy - (self.own_seconds() - own)
        return float(line.split()[0]), others / (time.monotonic() - start)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def wait_for_quiet(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        busy = busy_seconds()
        time.sleep(0.5)
        if (busy_seconds() - busy) / 0.5 < QUIET:
            return


def measure(ours, theirs, row, runs):
    """Quiet pairs of seconds a step, and how many pairs were measured."""
    shape, here, there, steps, _ = row
    ours.run(shape, here, 1)
    theirs.run(shape, there, 2)
    quiet, measured = [], 0
    while len(quiet) < runs and measured < 3 * runs:
        wait_for_quiet(30)
        pair = [server.run(shape, precision, steps) for server, precision in ((ours, here), (theirs, there))]
        measured += 1
        if max(others for _, others in pair) < QUIET:
            quiet.append([seconds for seconds, _ in pair])
    return quiet, measured


def processor():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        lines = [line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "flags"))]
    return lines[0], [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in lines[1].split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench_step")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    options = parser.parse_args()
    name, flags = processor()
    version = subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], check=True, capture_output=True,
                             text=True).stdout.strip()
    lines = [f"{name} ({', '.join(flags)}), {platform.system()}, {THREADS} threads, {datetime.date.today()}; PyTorch {version}. Medians "
             f"of alternating pairs during which other processes used less than {QUIET} cores; how many of those measured they are.", "",
             "| shape | nibble | PyTorch | ms a step | | ratio | quiet pairs |", "|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    results = []
    for row in ROWS:
        shape, here, there, _, goal = row
        if options.only not in f"{shape} {here} {there}":
            continue
        servers = Server(options.bench_step, "--serve"), Server(sys.executable, os.path.join(HERE, "torch_step.py"))
        try:
            quiet, measured = measure(*servers, row, options.runs)
        except (OSError, ValueError) as error:
            lines.append(f"| {shape} | {here} | {there} | could not be measured: {error} | | | |")
        else:
            count = f"{len(quiet)} of {measured}"
            if len(quiet) < LEAST:
                lines.append(f"| {shape} | {here} | {there} | not measured: the machine was busy | | | {count} |")
            else:
                mine, others = (statistics.median(pair[i] for pair in quiet) for i in (0, 1))
                ratio = statistics.median(pair[1] / pair[0] for pair in quiet)
                results.append(dict(shape=shape, nibble=here, torch=there, seconds=[mine, others], ratio=ratio, quiet=quiet))
                verdict = f"{ratio:.2f}" + (f" (goal {goal})" if goal else "")
                lines.append(f"| {shape} | {here} | {there} | {1e3 * mine:,.0f} | {1e3 * others:,.0f} | {verdict} | {count} |")
        for server in servers:
            server.close()
        print(lines[-1], flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
