"""What the kit of Python has to give an author beside progress: output, clocks, errors in words."""

import json
import sys
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log, types

DESCRIPTOR = {"id": "unkind", "version": "0.1.0", "title": "Everything but hello"}


class Task(exports.Task):
    def describe(self) -> str:
        return json.dumps(DESCRIPTOR)

    def run(self, params: str) -> str:
        wish = json.loads(params)["wish"]
        if wish == "raise":
            raise ValueError("no such thing")
        if wish == "fail":
            raise Err(types.Error("no-such-city", "there is none", False, None, None))
        began = time.time()
        time.sleep(200)
        print("printed")
        print("complained", file=sys.stderr)
        log.log(log.Level.INFO, "logged", None)
        return json.dumps({"slept": round(time.time() - began), "year": time.gmtime().tm_year})
