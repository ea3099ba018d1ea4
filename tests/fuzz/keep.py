"""Chooses the inputs of a fuzz target that are kept: keep.py CONTROL FOLDER.

CONTROL is libFuzzer's record of a merge, which says of every input what it reaches. The folder
then holds at most 40 files of together at most 64 kB: again and again the input that reaches the
most that no other does, for its size.
"""

import hashlib
import pathlib
import sys

FILES_MAX = 40
BYTES_MAX = 64 * 1000
FILE_BYTES_MAX = 8 * 1000


def read(control):
    """Each input's bytes and what it reaches."""
    lines = control.read_text().splitlines()
    count = int(lines[0])
    paths = lines[2 : 2 + count]
    reached = {}
    for line in lines[2 + count :]:
        kind, number, *features = line.split()
        if kind in ("FT", "COV"):
            names = {(kind, feature) for feature in features}
            reached.setdefault(int(number), set()).update(names)
    inputs = [(pathlib.Path(paths[n]).read_bytes(), names) for n, names in reached.items()]
    return [(data, names) for data, names in inputs if len(data) <= FILE_BYTES_MAX]


def chosen(inputs):
    """The inputs to keep."""
    kept, seen, size = [], set(), 0
    while len(kept) < FILES_MAX:
        fitting = [one for one in inputs if size + len(one[0]) <= BYTES_MAX]
        worth = lambda one: len(one[1] - seen) / (200 + len(one[0]))
        best = max(fitting, key=worth, default=None)
        if best is None or best[1] <= seen:
            break
        kept.append(best[0])
        seen |= best[1]
        size += len(best[0])
    return kept, len(seen), size


def main():
    control, folder = map(pathlib.Path, sys.argv[1:])
    inputs = read(control)
    everything = set().union(*(names for _, names in inputs))
    kept, seen, size = chosen(inputs)
    for path in folder.iterdir():
        path.unlink()
    for data in kept:
        (folder / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)
    share = 100 * seen // max(1, len(everything))
    print(f"{folder.name}: {len(kept)} of {len(inputs)} inputs, {size} B, reach {share} % of all")


main()
