"""What the check scripts share: the project's files, and how faults are told."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def project_files(*patterns):
    """Paths relative to the root: tracked files and new ones that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    return sorted(name for name in set(names) if name and (ROOT / name).is_file())


def read_all(names):
    """{path: text} of those files that are text."""
    texts = {}
    for name in names:
        data = (ROOT / name).read_bytes()
        if b"\0" not in data:
            texts[name] = data.decode("utf-8", "replace")
    return texts


def main(faults, self_test):
    """Prints each fault of faults(); exits 1 where there is one. --self-test runs self_test()."""
    if "--self-test" in sys.argv[1:]:
        self_test()
        return
    found = list(faults())
    for fault in found:
        print(f"{Path(sys.argv[0]).name}: {fault}", file=sys.stderr)
    sys.exit(1 if found else 0)
