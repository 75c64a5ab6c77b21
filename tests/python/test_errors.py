"""Errors have the kinds and the words of the command."""
import pickle
import warnings

import nibble
import numpy as np
import pytest
from conftest import run_command


def words_of_command(*words):
    """What the command says behind "nibble: error[N]: "."""
    return run_command(*words, check=False).stderr.split("]: ", 1)[1].rstrip("\n")


def test_kinds_and_words(model, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(4))
    existing = tmp_path / "here"
    existing.mkdir()
    cases = [
        (nibble.NotFound, FileNotFoundError, ["eval", tmp_path / "none"],
         lambda: nibble.evaluate(tmp_path / "none")),
        (nibble.Corrupt, ValueError, ["eval", bad], lambda: nibble.evaluate(bad)),
        (nibble.InvalidArgument, ValueError, ["eval", model, "--scheme", "int99"],
         lambda: nibble.evaluate(model, scheme="int99")),
        (nibble.IoError, OSError, ["quantize", model, "-o", existing],
         lambda: nibble.quantize(model, existing)),
        (nibble.InvalidArgument, ValueError, ["quantize", model, "-o", tmp_path / "a", "--bogus=1"],
         lambda: nibble.quantize(model, tmp_path / "a", bogus=1)),
        (nibble.InvalidArgument, ValueError, ["quantize", model, "-o", tmp_path / "a", "--samples=0"],
         lambda: nibble.quantize(model, tmp_path / "a", samples=0)),
    ]
    for kind, builtin, words, call in cases:
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, builtin) and isinstance(caught.value, nibble.Error)
        # Options are spelled as keyword arguments.
        expected = words_of_command(*words)
        for flag, keyword in (("--force", "force"), ("--scheme", "scheme"), ("--samples", "samples"),
                              (" --bogus", " bogus")):
            expected = expected.replace(flag, keyword)
        assert str(caught.value) == expected
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("bad.gguf", "here")] == []


def test_an_open_model_has_the_words_of_the_command(model):
    m = nibble.open(model)
    for options, words in (
            ({"temperature": -1.0}, ["--temperature", "-1"]),
            ({"max_new_tokens": 99}, ["--max-new-tokens", "99"]),
            ({"system": "x"}, ["--system", "x"]),
            ({"kv": "int3"}, ["--kv", "int3"])):
        with pytest.raises(nibble.InvalidArgument) as caught:
            list(m.generate("ka", **options))
        expected = words_of_command("generate", model, "--prompt", "ka", *words)
        for flag in ("--temperature", "--shift", "--system", "--chat-format", "--template-arg",
                     "--template-date", "--chat", "--kv"):
            expected = expected.replace(flag, flag[2:].replace("-", "_"))
        assert str(caught.value) == expected


def test_names_from_outside_are_no_options(tmp_path):
    path = tmp_path / "--force `max_memory`"
    with pytest.raises(nibble.NotFound) as caught:
        nibble.open(path)
    assert str(path) == caught.value.file


def test_errors_say_where(tmp_path):
    with pytest.raises(nibble.NotFound) as caught:
        nibble.open(tmp_path / "none")
    error = caught.value
    assert (error.kind, error.file) == ("not_found", str(tmp_path / "none"))
    assert error.reason and error.reason in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is nibble.NotFound and str(again) == str(error) and again.file == error.file


def test_arguments_of_another_type(model, tmp_path):
    m = nibble.open(model)
    for call in (lambda: m.logits(["a"]), lambda: m.logits(3), lambda: m.weight(1),
                 lambda: nibble.quantize(model, tmp_path / "a", calib=[1, 2]),
                 lambda: nibble.quantize(model, tmp_path / "a", json=True),
                 lambda: m.generate(1)):
        with pytest.raises(TypeError):
            call()
    for ids in ([], [-1], [m.vocabulary], [0] * (m.context + 1), [2**40]):
        with pytest.raises(nibble.InvalidArgument):
            m.logits(ids)
    with pytest.raises(nibble.NotFound):
        m.weight("no such")
    assert m.logits(np.array([1, 2])).shape == (2, m.vocabulary)


def test_arrays_that_do_not_fit():
    w = np.ones((4, 32), np.float32)
    for call in (lambda: nibble.quantize_array(w[0], "int8"),
                 lambda: nibble.quantize_array(w, "f16"),
                 lambda: nibble.quantize_array(w, "int8", np.ones((1, 32 * 32))),
                 lambda: nibble.quantize_array(w, "int8", method="gptq"),
                 lambda: nibble.quantize_array(np.ones((0, 4)), "int8")):
        with pytest.raises(nibble.InvalidArgument):
            call()
    with pytest.raises(nibble.Corrupt):
        nibble.quantize_array(w * np.nan, "int8")
    strided = np.asfortranarray(np.random.default_rng(1).normal(size=(8, 64)))[::2]
    np.testing.assert_array_equal(nibble.quantize_array(strided, "int8").values,
                                  nibble.quantize_array(strided.copy(order="C"), "int8").values)


def test_warnings_are_warnings(model, tmp_path):
    with pytest.warns(nibble.NibbleWarning, match="group of 5"):
        nibble.quantize(model, tmp_path / "a", scheme="int4:g5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(nibble.NibbleWarning):
            nibble.quantize(model, tmp_path / "b", scheme="int4:g5")


def test_a_closed_model(model):
    with nibble.open(model) as m:
        pieces = m.generate("ka", temperature=0)
    with pytest.raises(nibble.InvalidArgument, match="closed"):
        m.logits([1])
    assert "".join(pieces)  # what was under way goes on
    with pytest.raises(nibble.InvalidArgument, match="scheme"):
        nibble.quantize(nibble.open(model, "int8"), "never")
