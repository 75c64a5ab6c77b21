"""The part of a document that a benchmark writes: what stands between two lines that mark it."""

import sys


def write(document, mark, lines):
    with open(document, encoding="utf-8") as file:
        text = file.read()
    begin, end = f"<!-- {mark}: begin -->\n", f"<!-- {mark}: end -->"
    if begin not in text or end not in text:
        sys.exit(f"{document}: has no lines '{begin.strip()}' and '{end}' to write between")
    before, after = text.split(begin)[0], text.split(end, 1)[1]
    with open(document, "w", encoding="utf-8") as file:
        file.write(before + begin + "\n".join(lines) + "\n" + end + after)
