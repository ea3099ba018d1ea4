"""Chooses the inputs of a fuzz target that are kept: keep.py CONTROL FOLDER.

CONTROL is libFuzzer's record of a merge, which says of every input what it reaches. The folder
then holds at most 40 files of together at most 64 kB: again and again the input that reaches the
most that no other does, for its size.
"""

import array
import hashlib
import heapq
import pathlib
import sys

FILES_MAX = 40
BYTES_MAX = 64 * 1000
FILE_BYTES_MAX = 8 * 1000


def read(control):
    """Each input's bytes and what it reaches, as numbers."""
    with control.open() as lines:
        count = int(next(lines))
        next(lines)
        paths = [next(lines).rstrip("\n") for _ in range(count)]
        inputs = []
        for line in lines:
            kind, number, *features = line.split()
            data = pathlib.Path(paths[int(number)]).read_bytes() if kind == "FT" else None
            if data is not None and len(data) <= FILE_BYTES_MAX:
                inputs.append((data, array.array("Q", map(int, features))))
    return inputs


def chosen(inputs):
    """The inputs to keep."""
    kept, seen, size = [], set(), 0

    def worth(index):
        data, reached = inputs[index]
        return sum(one not in seen for one in reached) / (200 + len(data))

    # What an input adds never grows: only the one on top has to be looked at again.
    heap = [(-worth(index), index) for index in range(len(inputs))]
    heapq.heapify(heap)
    while heap and len(kept) < FILES_MAX:
        _, index = heapq.heappop(heap)
        data, reached = inputs[index]
        now = worth(index)
        if now == 0 or size + len(data) > BYTES_MAX:
            continue
        if heap and now < -heap[0][0]:
            heapq.heappush(heap, (-now, index))
            continue
        kept.append(data)
        seen.update(reached)
        size += len(data)
    return kept, len(seen), size


def main():
    control, folder = map(pathlib.Path, sys.argv[1:])
    inputs = read(control)
    everything = set()
    for _, reached in inputs:
        everything.update(reached)
    kept, seen, size = chosen(inputs)
    for path in folder.iterdir():
        path.unlink()
    for data in kept:
        (folder / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)
    share = 100 * seen // max(1, len(everything))
    print(f"{folder.name}: {len(kept)} of {len(inputs)} inputs, {size} B, reach {share} % of all")


main()
