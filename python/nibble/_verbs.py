"""The verbs of the command as functions. Their options are read by the command's own table, so that
names, limits and words are the same."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional, Union

from nibble import _core
from nibble._errors import InvalidArgument, tell
from nibble._model import Model
from nibble._results import Comparison, Result

Path = Union[str, "os.PathLike[str]"]
#: progress(task, done, total, detail), called now and then by the thread that called.
Progress = Callable[[str, int, int, str], None]

# What is the command's alone: how it prints, and what it asks on a terminal.
_NOT_HERE = ("json", "quiet", "help", "version", "o")


def _words(options: dict[str, Any]) -> Iterator[str]:
    """Keyword arguments as words of a command line; None and False are not said."""
    for name, value in options.items():
        if name in _NOT_HERE:
            raise TypeError(f"{name} is an option of the command alone")
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            yield flag
        elif isinstance(value, (str, os.PathLike, int, float)):
            yield f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}"
        elif isinstance(value, dict):
            yield from (f"{flag}={key}={one}" for key, one in value.items())
        else:
            yield from (f"{flag}={one}" for one in value)


def _place(path: Path) -> str:
    """A path as a word that no option is."""
    word = os.fspath(path)
    return os.path.join(".", word) if word.startswith("-") else word


def _run(verb: str, places: Sequence[Path], options: dict[str, Any],
         progress: Optional[Progress]) -> tuple[str, str, str]:
    words = [verb, *map(_place, places), *_words(options)]
    return _core.verb(words, progress, lambda line: tell(line, 5))


def run(verb: str, *places: Path, progress: Optional[Progress] = None, **options: Any) -> Result:
    """Any verb of the command, its arguments and options: run("inspect", "gpt2")."""
    if verb in ("demo", "generate") and not options:
        raise InvalidArgument(f"{verb} needs options here, as `nibble {verb} --help` has them")
    document, text, page = _run(verb, places, options, progress)
    return Comparison(document, text, page) if verb == "compare" else Result(document, text)


@contextmanager
def _text_file(text: Union[None, Path, Iterable[str]]) -> Iterator[Optional[Path]]:
    """A path as it is; texts in a file of their own, a line's end between them."""
    if text is None or isinstance(text, (str, os.PathLike)):
        yield text
        return
    with tempfile.TemporaryDirectory(prefix="nibble-") as folder:
        path = os.path.join(folder, "texts")
        with open(path, "w", encoding="utf-8", newline="") as file:
            for one in text:
                if not isinstance(one, str):
                    raise TypeError(f"expected strings to calibrate on, found {type(one).__name__}")
                file.write(one + "\n")
        yield path


def quantize(model: Union[Path, Model], out: Path, *, scheme: Optional[str] = None,
             method: Optional[str] = None, calib: Union[None, Path, Iterable[str]] = None,
             progress: Optional[Progress] = None, **options: Any) -> Result:
    """Makes a smaller copy of a model: a folder, or a NAME.gguf. It appears complete or not at all.

    calib: a file, or strings, to calibrate on; the model writes its own text where there is none.
    Further options are those of `nibble quantize --help`."""
    if isinstance(model, Model):
        model = model.stored()
    with _text_file(calib) as text:
        options = {"out": out, "scheme": scheme, "method": method, "calib": text, **options}
        document, words, _ = _run("quantize", [model], options, progress)
    return Result(document, words)


def auto(model: Union[Path, Model], out: Path, *, bits: Optional[float] = None,
         max_kl: Optional[float] = None, max_size: Union[None, int, str] = None,
         calib: Union[None, Path, Iterable[str]] = None, progress: Optional[Progress] = None,
         **options: Any) -> Result:
    """quantize() with bits for each matrix that one budget leaves it: `nibble auto --help`."""
    if isinstance(model, Model):
        model = model.stored()
    with _text_file(calib) as text:
        options = {"out": out, "bits": bits, "max_kl": max_kl, "max_size": max_size, "calib": text,
                   **options}
        document, words, _ = _run("auto", [model], options, progress)
    return Result(document, words)


def convert(model: Union[Path, Model], out: Path, *, to: Optional[str] = None,
            progress: Optional[Progress] = None, **options: Any) -> Result:
    """Writes a model in another format, its weights as they are: `nibble convert --help`."""
    if isinstance(model, Model):
        model = model.stored()
    document, words, _ = _run("convert", [model], {"out": out, "to": to, **options}, progress)
    return Result(document, words)


def evaluate(model: Union[Path, Model], *, text: Union[None, Path, Iterable[str]] = None,
             scheme: Optional[str] = None, against: Union[None, Path, Model] = None,
             progress: Optional[Progress] = None, **options: Any) -> Result:
    """The loss of a model on a text (a file, or strings), and with `against` how far it is from
    another: `nibble eval --help`. A Model is measured in the precision that it was opened in."""
    if isinstance(model, Model):
        if scheme is not None:
            raise InvalidArgument("scheme: the model is open in another; give its name instead")
        options = {**model.opened_with(), **options}
        model = model.name
    if isinstance(against, Model):
        against = against.stored()
    with _text_file(text) as file:
        options = {"text": file, "scheme": scheme, "against": against, **options} \
            if scheme is not None else {"text": file, "against": against, **options}
        document, words, _ = _run("eval", [model], options, progress)
    return Result(document, words)


def compare(*models: Union[Path, Model], schemes: Union[None, str, Sequence[str]] = None,
            text: Union[None, Path, Iterable[str]] = None, prompt: Optional[str] = None,
            runs: Optional[int] = None, progress: Optional[Progress] = None,
            **options: Any) -> Comparison:
    """Models, or one in several schemes, side by side, the first being the baseline:
    `nibble compare --help`. In a notebook it shows its report."""
    places = [m.stored() if isinstance(m, Model) else m for m in models]
    with _text_file(text) as file:
        options = {"schemes": schemes, "text": file, "prompt": prompt, "runs": runs, **options}
        return Comparison(*_run("compare", places, options, progress))
