"""What the tests of the Python module share: the command beside it, and small models."""
import os
import subprocess
from pathlib import Path

import pytest

COMMAND = os.environ.get("NIBBLE_COMMAND", "build/test/nibble")


def run_command(*words, check=True):
    """The command by its words; what it wrote."""
    done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def train(folder, seed):
    run_command("train", "micro", "--steps", 20, "--batch", 4, "--seed", seed, "--quiet", "-o", folder)
    return str(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return train(tmp_path_factory.mktemp("models") / "model", 1)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory):
    return train(tmp_path_factory.mktemp("models") / "other", 2)


@pytest.fixture(scope="session")
def names(tmp_path_factory):
    """A text that those models read."""
    path = tmp_path_factory.mktemp("texts") / "names.txt"
    path.write_text("\n".join(Path("data/names.txt").read_text().split()[:400]) + "\n")
    return str(path)
