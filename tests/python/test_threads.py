"""Long calls leave the interpreter to others, hear Ctrl-C, and leave nothing half-made or leaked."""
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import nibble
import numpy as np
import pytest

# Seconds of work, in many steps.
LONG = {"scheme": "int4:g16", "method": "gptq", "samples": 100_000}


def test_other_threads_run_meanwhile(model, tmp_path):
    turns, done = 0, threading.Event()

    def quantize():
        nibble.quantize(model, tmp_path / "a", **{**LONG, "samples": 20_000})
        done.set()

    worker = threading.Thread(target=quantize)
    worker.start()
    while not done.is_set() and worker.is_alive():
        turns += 1
        time.sleep(0.001)
    worker.join()
    assert done.is_set()
    assert turns > 10


def test_two_threads_on_two_models(model, other_model):
    models = [nibble.open(model, "int8"), nibble.open(other_model, "int4:g16")]
    expected = [(m.logits([1, 2, 3]), m.generate("ka", seed=5).text) for m in models]
    wrong = []

    def use(m, logits, text):
        for _ in range(50):
            if not np.array_equal(m.logits([1, 2, 3]), logits) or m.generate("ka", seed=5).text != text:
                wrong.append(m)

    threads = [threading.Thread(target=use, args=(m, *e)) for m, e in zip(models, expected)
               for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_progress_is_told_by_the_caller_s_thread(model, tmp_path):
    steps = []
    nibble.quantize(model, tmp_path / "a", scheme="int4:g16", method="gptq",
                    progress=lambda *step: steps.append((threading.get_ident(), *step)))
    assert {s[0] for s in steps} == {threading.get_ident()}
    assert any(s[1] == "quantize" for s in steps)
    assert all(0 <= s[2] <= s[3] and isinstance(s[4], str) for s in steps)


def test_what_a_callback_raises_stops_the_work(model, tmp_path):
    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    with pytest.raises(Enough):
        nibble.quantize(model, tmp_path / "a", progress=stop, **LONG)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import nibble, sys
def step(task, done, total, detail):
    print(task, flush=True)
try:
    nibble.quantize(sys.argv[1], sys.argv[2], scheme="int4:g16", method="gptq", samples=100_000,
                    progress=step)
except KeyboardInterrupt:
    print("interrupted", nibble.evaluate(sys.argv[1]).tokens > 0)  # the process goes on
    sys.exit(3)
"""


@pytest.mark.parametrize("after", [1, 3])
def test_ctrl_c_leaves_nothing(after, model, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, model, str(tmp_path / "out")],
                               stdout=subprocess.PIPE, text=True)
    for _ in range(after):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 3 and "interrupted True" in rest
    assert time.monotonic() - begin < 30
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_nobody_reads_on_is_stopped(model):
    m = nibble.open(model)
    pieces = m.generate("a", max_new_tokens=10_000_000, shift=True, stop=["\0"], temperature=1)
    pieces.close()
    assert list(pieces) == []
    endless = m.generate("a", max_new_tokens=10_000_000, shift=True, temperature=1)
    next(endless)
    begin = time.monotonic()
    del endless
    gc.collect()
    assert time.monotonic() - begin < 20


def rss():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_thousand_models_leave_nothing(model, tmp_path):
    nibble.quantize(model, tmp_path / "small", scheme="int4:g16")

    def use(path):
        with nibble.open(path) as m:
            m.logits([1, 2])
            list(m.generate("ka", max_new_tokens=2))
            assert m.weight("lm_head.weight").shape == (27, 16)
        with pytest.raises(nibble.NotFound):
            nibble.open(path + "/none")

    def state():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    for _ in range(200):
        use(model)
        use(str(tmp_path / "small"))
    files, tasks = state()
    memory = rss()
    for _ in range(500):
        use(model)
        use(str(tmp_path / "small"))
    assert state() == (files, tasks)
    assert rss() - memory < 4 << 20  # a model takes 60 KiB: one in fifteen would be seen
