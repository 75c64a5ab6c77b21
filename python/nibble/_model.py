"""A model that is open."""
from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt

from nibble import _core
from nibble._errors import InvalidArgument, tell

Path = Union[str, "os.PathLike[str]"]
Progress = Callable[[str, int, int, str], None]


def _list(value: Union[str, Iterable[str]]) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value]


class WeightInfo(NamedTuple):
    """A parameter: its name as stored, its extents, and the scheme or type that it is held in."""
    name: str
    shape: tuple[int, ...]
    stored_as: str


class Pieces(Iterator[str]):
    """What a model writes behind a prompt, piece by piece, as it comes. Dropping it stops it."""

    def __init__(self, inner: _core.Pieces) -> None:
        self._inner = inner

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> str:
        return self._inner.next()

    def close(self) -> None:
        """Stops the writing; the iterator ends."""
        self._inner.close()

    @property
    def text(self) -> str:
        """The whole text, prompt (not of a chat) and all; waits for its end, as the next three."""
        return self._inner.text()

    @property
    def ids(self) -> list[int]:
        """The ids that were written."""
        return self._inner.ids()

    @property
    def prompt_ids(self) -> list[int]:
        """The ids that were read."""
        return self._inner.prompt_ids()

    @property
    def result(self) -> dict[str, Any]:
        """The document of `nibble generate --json`."""
        document: dict[str, Any] = json.loads(self._inner.json())
        return document


class Model:
    """A model that is open. Any number of threads may use it."""

    def __init__(self, inner: _core.Model, name: str, opened_with: dict[str, Any]) -> None:
        self._held: Optional[_core.Model] = inner
        self._opened_with = opened_with
        #: As it was asked for: a path, or a name in the Hugging Face cache.
        self.name = name

    @property
    def _inner(self) -> _core.Model:
        if self._held is None:
            raise InvalidArgument(f"the model {self.name} is closed")
        return self._held

    def close(self) -> None:
        """Gives its memory back, once nothing that it writes is under way."""
        self._held = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._held is None:
            return f"<nibble.Model {self.name}, closed>"
        return f"<nibble.Model {self.name}: {self.type}, {self.scheme}>"

    def opened_with(self) -> dict[str, Any]:
        """The options of open() that were given."""
        return dict(self._opened_with)

    def stored(self) -> str:
        """Its name, for what works on a model as it is stored. InvalidArgument for one that was
        opened in another precision, which that would pass over."""
        if self._opened_with:
            raise InvalidArgument(f"{self.name} is open with {', '.join(self._opened_with)}, which "
                                  "are not stored: give the name of a stored model")
        return self.name

    @property
    def path(self) -> str:
        return self._inner.path

    @property
    def type(self) -> str:
        """`model_type`: "llama"."""
        return self._inner.type

    @property
    def scheme(self) -> str:
        """Of most weights: "int8", "f32", "mixed"."""
        return self._inner.scheme

    @property
    def vocabulary(self) -> int:
        return self._inner.vocabulary

    @property
    def context(self) -> int:
        """The longest sequence, in tokens."""
        return self._inner.context

    @property
    def parameters(self) -> int:
        return self._inner.parameters

    def encode(self, text: str, special: bool = True) -> list[int]:
        """The ids of a text; `special`: with the tokens that the model expects around one."""
        return self._inner.encode(text, special)

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        return self._inner.decode([operator.index(i) for i in ids], skip_special)

    def logits(self, ids: Iterable[int], *, threads: int = 0) -> npt.NDArray[np.float32]:
        """[ids, vocabulary]: of what follows each id."""
        out: npt.NDArray[np.float32] = self._inner.logits([_id(i) for i in ids], threads)
        return out

    def weights(self) -> list[WeightInfo]:
        """Every parameter; weight() gives one."""
        return [WeightInfo(name, tuple(shape), stored_as)
                for name, shape, stored_as in self._inner.weights()]

    def weight(self, name: str, *, threads: int = 0) -> npt.NDArray[np.float32]:
        """What a parameter stands for, dequantized where it is quantized."""
        out: npt.NDArray[np.float32] = self._inner.weight(name, threads)
        return out

    def generate(self, prompt: str = "", *, max_new_tokens: int = 0,
                 temperature: Optional[float] = None, top_k: Optional[int] = None,
                 top_p: Optional[float] = None, min_p: Optional[float] = None,
                 repetition_penalty: Optional[float] = None,
                 presence_penalty: Optional[float] = None,
                 frequency_penalty: Optional[float] = None, typical_p: Optional[float] = None,
                 top_n_sigma: Optional[float] = None, dry_multiplier: Optional[float] = None,
                 dry_base: Optional[float] = None, dry_allowed_length: Optional[int] = None,
                 dry_breaker: Union[None, str, Iterable[str]] = None,
                 logit_bias: Union[Mapping[Union[int, str], float], Iterable[str]] = (),
                 logprobs: Optional[int] = None,
                 stop: Union[str, Iterable[str]] = (), seed: int = 42, chat: bool = False,
                 system: str = "", chat_format: str = "",
                 template_arg: Union[Mapping[str, Any], Iterable[str]] = (),
                 template_date: str = "", shift: bool = False, prefill_chunk: int = 512,
                 kv: str = "f32", threads: int = 0) -> Pieces:
        """What `nibble generate` writes behind a prompt, as it comes. Options that are not given are
        generation_config.json's, or the command's."""
        o = _core.GenerateOptions()
        o.prompts = [prompt]
        o.max_new_tokens = max_new_tokens
        o.temperature, o.top_k, o.top_p, o.min_p = temperature, top_k, top_p, min_p
        o.repetition_penalty = repetition_penalty
        o.presence_penalty, o.frequency_penalty = presence_penalty, frequency_penalty
        o.typical_p, o.top_n_sigma = typical_p, top_n_sigma
        o.dry_multiplier, o.dry_base = dry_multiplier, dry_base
        o.dry_allowed_length = dry_allowed_length
        o.dry_breakers = None if dry_breaker is None else _list(dry_breaker)
        o.logit_bias = ([f"{k if isinstance(k, int) else json.dumps(k)}={float(v)}"
                         for k, v in logit_bias.items()]
                        if isinstance(logit_bias, Mapping) else _list(logit_bias))
        o.logprobs = logprobs
        o.stop = _list(stop)
        o.seed = seed
        o.chat, o.system, o.chat_format = chat, system, chat_format
        o.template_arg = ([f"{k}={json.dumps(v)}" for k, v in template_arg.items()]
                          if isinstance(template_arg, Mapping) else _list(template_arg))
        o.template_date = template_date
        o.shift, o.prefill_chunk, o.kv = shift, prefill_chunk, kv
        return Pieces(_core.Pieces(self._inner, o, threads, tell))


def _id(value: int) -> int:
    number = operator.index(value)
    if not -2**31 <= number < 2**31:
        raise InvalidArgument(f"{number} is no token's id")
    return number


def open(model: Path, scheme: Optional[str] = None, *,
         keep: Union[str, Iterable[str]] = (), quantize: Union[str, Iterable[str]] = (),
         activations: Optional[str] = None, adapter: Union[str, Iterable[str]] = (),
         threads: int = 0, progress: Optional[Progress] = None) -> Model:
    """Opens a folder as Hugging Face lays it out, a .safetensors, .gguf or llama2.c .bin file, or
    the name of a model in the Hugging Face cache; with `scheme` in another precision, which the
    other options are about as in `nibble generate --help`."""
    o = _core.OpenOptions()
    o.scheme, o.activations = scheme or "", activations or ""
    o.keep, o.quantize, o.adapter = _list(keep), _list(quantize), _list(adapter)
    given = {"scheme": o.scheme, "keep": o.keep, "quantize": o.quantize,
             "activations": o.activations, "adapter": o.adapter}
    name = os.fspath(model)
    inner = _core.open(name, o, threads, progress, tell)
    return Model(inner, name, {k: v for k, v in given.items() if v})
