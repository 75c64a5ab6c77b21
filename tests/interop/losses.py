"""What the scripts of this folder share: the mean loss over windows of a text, by transformers and by nibble."""
import json
import subprocess

import torch

WINDOW = 256


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


def nibble_loss(command, folder, text):
    out = subprocess.run([command, "eval", folder, "--text", text, "--window", str(WINDOW), "--json", "--quiet"],
                         check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["mean_nll"]
