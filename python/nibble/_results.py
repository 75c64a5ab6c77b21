"""What calls give back: the document that the command prints with --json, and its words."""
from __future__ import annotations

import html
import json
from importlib import import_module
from typing import Any


class Result(dict[str, Any]):
    """The document of `--json`: r["loss"] and r.loss are the same. str(r) is what the command
    prints for people."""

    def __init__(self, document: str, text: str = "") -> None:
        super().__init__(json.loads(document) if document else {})
        self._text = text

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no {name}; there are {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __str__(self) -> str:
        return self._text or super().__repr__()


class Comparison(Result):
    """Models side by side, the first being the baseline."""

    def __init__(self, document: str, text: str, page: str) -> None:
        super().__init__(document, text)
        self._page = page

    @property
    def html(self) -> str:
        """The report: one page that needs no other file."""
        return self._page

    def to_pandas(self) -> Any:
        """A pandas.DataFrame: a row for each model, by its name; numbers inside numbers as "divergence.kl_mean"."""
        rows = self["models"] if self.get("models") else self.get("classifiers", [])
        return import_module("pandas").json_normalize(rows).set_index("name")

    def _repr_html_(self) -> str:
        if not self._page:
            return f"<pre>{html.escape(str(self))}</pre>"
        return (f'<iframe srcdoc="{html.escape(self._page)}" width="100%" height="720" '
                'style="border: 0" title="nibble compare"></iframe>')
