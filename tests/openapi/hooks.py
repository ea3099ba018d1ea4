"""Bodies that Schemathesis does not know by itself: components, and a JSON value a line."""

import json

import schemathesis
from hypothesis import strategies as st

values = st.one_of(st.text(max_size=8), st.integers(), st.none())
objects = st.dictionaries(st.text(max_size=8), values, max_size=4).map(json.dumps)
lines = st.lists(st.one_of(objects, st.text(max_size=20)), max_size=5)

schemathesis.openapi.media_type(
    "application/x-ndjson",
    lines.map(lambda some: "\n".join(some).encode("utf-8", "surrogatepass")),
)
schemathesis.openapi.media_type(
    "application/wasm", st.binary(max_size=64).map(lambda rest: b"\0asm" + rest)
)
