#!/usr/bin/env python3
"""Mixes sources/*.log into one stream: stream.ndjson and, line by line, truth.txt.

Deterministic: the same sources give the same stream. The order inside a source is kept;
which source comes next is drawn with a fixed seed, weighted by the lines it has left.
Only the time and the raw line reach the stream. The time is the place in the mix, spread
evenly over one day, so it says nothing about the source.
"""
import datetime, json, pathlib, random

HERE = pathlib.Path(__file__).resolve().parent
DAY = datetime.datetime(2026, 11, 23)

left = {p.stem: p.read_text("utf-8").split("\n")[:-1] for p in sorted((HERE / "sources").glob("*.log"))}
total = sum(map(len, left.values()))
draw, done = random.Random(20261123), dict.fromkeys(left, 0)
with open(HERE / "stream.ndjson", "w", encoding="utf-8", newline="\n") as stream, \
     open(HERE / "truth.txt", "w", encoding="utf-8", newline="\n") as truth:
    for place in range(total):
        names = [n for n in left if done[n] < len(left[n])]
        name = draw.choices(names, [len(left[n]) - done[n] for n in names])[0]
        time = DAY + datetime.timedelta(days=1) * place / total
        stamp = time.isoformat(timespec="milliseconds") + "Z"
        stream.write(json.dumps({"@timestamp": stamp, "message": left[name][done[name]]}, ensure_ascii=False) + "\n")
        truth.write(name + "\n")
        done[name] += 1
print(f"{total} lines of {len(left)} sources")
