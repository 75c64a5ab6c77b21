"""Results as people look at them, and types as tools do."""
import importlib.util
import json
import subprocess
import sys

import nibble
import pytest
from conftest import run_command


def test_a_result_is_the_document_and_the_words_of_the_command(model, names):
    r = nibble.evaluate(model, text=names)
    assert r["perplexity"] == r.perplexity
    assert str(r) == run_command("eval", model, "--text", names, "--quiet").stdout
    with pytest.raises(AttributeError, match="bogus"):
        r.bogus


def test_a_comparison_has_a_table_and_a_page(model, names):
    c = nibble.compare(model, schemes=["int8", "int4:g16"], text=names, runs=1, continuations=0)
    table = pytest.importorskip("pandas") and c.to_pandas()
    assert list(table.index) == ["f32", "int8", "int4:g16"]
    assert table.loc["f32", "kl_mean"] == 0 < table.loc["int4:g16", "kl_mean"]
    expected = json.loads(run_command("compare", model, "--schemes", "int8,int4:g16", "--text", names,
                                      "--runs", 1, "--continuations", 0, "--json", "--quiet").stdout)
    assert [m["loss"] for m in c.models] == [m["loss"] for m in expected["models"]]
    assert c.html.startswith("<!") and "int4:g16" in c.html
    shown = c._repr_html_()
    assert shown.startswith("<iframe ") and "<script>" not in shown


def test_other_verbs(model, tmp_path):
    assert nibble.run("inspect", model).parameters == nibble.open(model).parameters
    assert nibble.run("tokenize", model, text="ka").ids == nibble.open(model).encode("ka")
    nibble.convert(model, tmp_path / "half", to="f16")
    assert nibble.open(tmp_path / "half").scheme == "f16"
    made = nibble.auto(model, tmp_path / "auto", bits=5.5, method="gptq", samples=16)
    assert made.bits_per_weight <= 5.5


SAMPLE = """
import nibble
import numpy as np
import numpy.typing as npt

m: nibble.Model = nibble.open("gpt2", scheme="int4:g32")
logits: npt.NDArray[np.float32] = m.logits([1, 2])
for piece in m.generate("a", temperature=0, stop=["b"]):
    text: str = piece
r: nibble.Result = nibble.quantize(m, "out", scheme="int8", calib=["a", "b"],
                                   progress=lambda task, done, total, detail: print(task, done))
q: nibble.QuantizedArray = nibble.quantize_array(np.ones((2, 2)), "int8", hessian=None)
loss: float = nibble.evaluate(m, text="book.txt", heldout=True).loss
"""
WRONG = "\nm.logits(3)\nnibble.open(3)\nm.generate(prompt=1)\n"


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_types(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(SAMPLE)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    for what in ([str(file)], ["-p", "nibble"]):
        done = subprocess.run([*mypy, *what], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(SAMPLE + WRONG)
    done = subprocess.run([*mypy, str(file)], capture_output=True, text=True, cwd=tmp_path)
    assert "Found 3 errors" in done.stdout, done.stdout
