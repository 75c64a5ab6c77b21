"""What the scripts of this folder share: a text, the mean loss over its windows by transformers and by nibble, and a
table of cases."""
import json
import pathlib
import subprocess

import torch
from transformers import AutoTokenizer

WINDOW, HELD_OUT = 256, 12_000


class Text:
    """The end of a text, as a file and as the ids of a model."""

    def __init__(self, model, path, work):
        text = pathlib.Path(path).read_text(encoding="utf-8")[-HELD_OUT:]
        self.path = work / "text.txt"
        self.path.write_text(text, encoding="utf-8")
        self.ids = AutoTokenizer.from_pretrained(model)(text, add_special_tokens=False)["input_ids"]


def windows_of(ids):
    return [ids[at:at + WINDOW] for at in range(0, len(ids) - WINDOW + 1, WINDOW)] or [ids]


def mean_loss(logits_of, ids):
    """`logits_of` maps a window, a tensor [tokens], to its logits [tokens, vocabulary]."""
    windows, total = torch.tensor(windows_of(ids)), 0.0
    with torch.no_grad():
        for window in windows:
            logits = logits_of(window)[:-1].double()
            total += float(torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum"))
    return total / sum(len(w) - 1 for w in windows)


def loss_of(model, ids):
    return mean_loss(lambda window: model(window[None]).logits[0], ids)


def nibble_loss(command, folder, text, options=()):
    out = subprocess.run([command, "eval", folder, "--text", text, "--window", str(WINDOW), "--json", "--quiet",
                          *options], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["mean_nll"]


def compared(theirs, ours, limit):
    """Whether two losses agree, and the cells of a row that says so."""
    ok = abs(theirs - ours) <= limit
    return ok, f"{theirs:.7f} | {ours:.7f} | {abs(theirs - ours):.1e} | {'yes' if ok else 'NO'} |"


def run_cases(columns, names, check):
    """A table of `columns`, a row a name: `check(name)` gives whether the case holds and its cells. Returns the exit code:
    1 where one does not hold."""
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    results = []
    for name in names:
        try:
            ok, cells = check(name)
        except Exception as error:  # the next case is still worth trying
            ok, cells = False, f"FAILED: {type(error).__name__}: {str(error)[:300]} |"
        print(f"| {name} | {cells}", flush=True)
        results.append(ok)
    return 0 if all(results) else 1
