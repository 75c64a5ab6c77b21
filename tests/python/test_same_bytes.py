"""What the module makes is what the command makes, byte for byte."""
import json
from pathlib import Path

import nibble
import numpy as np
import pytest
from conftest import run_command

METHODS = ["rtn", "hqq", "imatrix", "autoround", "gptq", "yaqa", "awq+gptq", "smoothquant",
           "llm_int8", "rotate+gptq", "gptq+qat"]


def contents(folder):
    """{path: bytes} of a folder; of nibble.json without the words that it was made by."""
    out = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            out[str(path.relative_to(folder))] = path.read_bytes()
    proof = json.loads(out.pop("nibble.json"))
    assert proof.pop("command").startswith("nibble quantize ")
    return {**out, "nibble.json": proof}


@pytest.mark.parametrize("method", METHODS)
def test_quantize(method, model, names, tmp_path):
    scheme = "int8" if "int8" in method or "smooth" in method else "int4:g16"
    calib = [] if method in ("rtn", "hqq") else ["--calib", names, "--samples", "32"]
    options = {"calib": names, "samples": 32} if calib else {}
    if method == "gptq+qat":
        options.update(qat_samples=32, qat_epochs=1)
        calib += ["--qat-samples", "32", "--qat-epochs", "1"]
    shown = run_command("quantize", model, "-o", tmp_path / "a", "--scheme", scheme, "--method",
                        method, *calib, "--quiet", "--json").stdout
    result = nibble.quantize(model, tmp_path / "b", scheme=scheme, method=method, **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    expected = json.loads(shown)
    assert {k: v for k, v in result.items() if v != expected[k]}.keys() <= {"out", "written", "path"}


def test_quantize_to_gguf_with_lists_and_flags(model, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    run_command("quantize", model, "-o", tmp_path / "a/x.safe", "--scheme", "int8", "--keep", "*wq*",
                "--keep", "*wk*=f16", "--half-step", "--quantize", "lm_head,embeddings", "--quiet")
    nibble.quantize(model, tmp_path / "b/x.safe", scheme="int8", keep=["*wq*", "*wk*=f16"],
                    half_step=True, quantize=["lm_head", "embeddings"])
    assert contents(tmp_path / "a/x.safe") == contents(tmp_path / "b/x.safe")


def test_texts_calibrate_as_their_file_does(model, names, tmp_path):
    nibble.quantize(model, tmp_path / "a", scheme="int4:g16", method="gptq", calib=names, samples=32)
    nibble.quantize(model, tmp_path / "b", scheme="int4:g16", method="gptq", samples=32,
                    calib=iter(Path(names).read_text().split()))
    weights = [(tmp_path / x / "model.safetensors").read_bytes() for x in "ab"]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("scheme", [None, "int8:a8", "int4:g16"])
def test_evaluate(scheme, model, other_model, names):
    words = ["--scheme", scheme] if scheme else []
    expected = json.loads(run_command("eval", model, *words, "--text", names, "--against",
                                      other_model, "--heldout", "--json", "--quiet").stdout)
    assert nibble.evaluate(model, scheme=scheme, text=names, against=other_model,
                           heldout=True) == expected
    # A model that is open is measured in the precision that it was opened in.
    opened = nibble.open(model, scheme)
    assert nibble.evaluate(opened, text=names, against=nibble.open(other_model),
                           heldout=True) == expected


@pytest.mark.parametrize("options", [
    {"temperature": 0}, {"temperature": 0.8, "top_k": 5, "seed": 7}, {"seed": 3, "max_new_tokens": 3},
    {"temperature": 1.2, "stop": ["a", "ri"]}, {"shift": True, "max_new_tokens": 40, "kv": "int8"},
    {"repetition_penalty": 1.5, "min_p": 0.1, "top_p": 0.9},
    {"presence_penalty": 0.5, "frequency_penalty": 0.2, "typical_p": 0.8, "top_n_sigma": 2.0},
    {"dry_multiplier": 0.8, "dry_base": 2.0, "dry_allowed_length": 1, "dry_breaker": ["k"], "logit_bias": ["a=1.5"]},
])
@pytest.mark.parametrize("scheme", [None, "int4:g16:a8"])
def test_generate(scheme, options, model):
    words = ["--scheme", scheme] if scheme else []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            words += [flag] if one is True else [flag, one]
    m = nibble.open(model, scheme)
    for prompt in ("", "ka", "mari"):
        expected = run_command("generate", model, "--prompt", prompt, *words, "--quiet").stdout
        made = m.generate(prompt, **options)
        assert prompt + "".join(made) + "\n" == expected
        assert made.text + "\n" == expected
        document = run_command("generate", model, "--prompt", prompt, *words, "--json",
                               "--quiet").stdout
        assert made.ids == json.loads(document)["ids"]


def test_logits_are_what_the_loss_is_made_of(model, tmp_path):
    text = tmp_path / "text"
    text.write_text("karina\n")
    m = nibble.open(model)
    ids = m.encode("karina")
    ids.append(ids[0])  # names end with the token that they begin with
    logits = m.logits(ids[:-1]).astype(np.float64)
    likely = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -likely[np.arange(len(ids) - 1), ids[1:]].mean()
    assert nibble.evaluate(model, text=text).mean_nll == pytest.approx(loss, rel=1e-5)


def test_weights_are_the_files(model, tmp_path):
    data = (Path(model) / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    m = nibble.open(model)
    assert {w.name for w in m.weights()} == header.keys() - {"__metadata__"}
    for w in m.weights():
        begin, end = header[w.name]["data_offsets"]
        stored = np.frombuffer(data[8 + size + begin:8 + size + end], np.float32)
        assert w.shape == tuple(header[w.name]["shape"]) and w.stored_as == "f32"
        np.testing.assert_array_equal(m.weight(w.name), stored.reshape(w.shape))


def test_quantize_array_is_what_quantize_stores(model, tmp_path):
    w = nibble.open(model).weight("lm_head.weight")
    nibble.quantize(model, tmp_path / "a", scheme="int4:g16:asym")
    stored = nibble.open(tmp_path / "a").weight("lm_head.weight")
    q = nibble.quantize_array(w, "int4:g16:asym")
    np.testing.assert_array_equal(q.values, stored)
    groups = np.arange(w.shape[1]) // 16
    by_hand = (q.codes.astype(np.float32) - q.zeros[:, groups]) * q.scales[:, groups]
    np.testing.assert_array_equal(q.values, by_hand)


def test_python_m_nibble_is_the_command(model, tmp_path):
    import subprocess
    import sys
    for words in (["--version"], ["eval", "--help"], ["eval", model, "--quiet"], ["eval", "none"],
                  ["quantize", model], ["eval", model, "--json", "--quiet"], ["bogus"]):
        expected = run_command(*words, check=False)
        found = subprocess.run([sys.executable, "-m", "nibble", *words], capture_output=True,
                               text=True, timeout=120)
        assert (found.returncode, found.stdout, found.stderr) == \
            (expected.returncode, expected.stdout, expected.stderr)
