"""The smallest task type in Python: greets whoever is named. Start from here."""

import json

from wit_world import exports
from wit_world.imports import progress

DESCRIPTOR = {
    "id": "hello-python",
    "version": "0.1.0",
    "title": "Say hello, in Python",
    # A host checks params and result against these; they may be left out.
    "params_schema": {
        "type": "object",
        "properties": {"name": {"type": "string", "description": "Whom to greet."}},
        "required": ["name"],
    },
    "result_schema": {
        "type": "object",
        "properties": {"greeting": {"type": "string"}},
        "required": ["greeting"],
    },
}


class Task(exports.Task):
    """What the host calls."""

    def describe(self) -> str:
        return json.dumps(DESCRIPTOR)

    def run(self, params: str) -> str:
        name = json.loads(params)["name"]
        greeting = f"Hello, {name}!"
        # People see it. A cancel arrives here as an exception, which ends the run.
        progress.report(1, 1, greeting)
        return json.dumps({"greeting": greeting})
