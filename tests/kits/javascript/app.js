// What the kit of JavaScript has to give an author beside progress: log lines, clocks, errors in
// words. It has no `console`. tests/kits.sh adds `told` as the project has it.

import { log } from "taskhost:task/log@1.0.0";
import { sleep } from "taskhost:task/context@1.0.0";

const descriptor = { id: "unkind", version: "0.1.0", title: "Everything but hello" };

export const task = {
  describe() {
    return JSON.stringify(descriptor);
  },

  run(params) {
    return told(() => wished(JSON.parse(params).wish));
  },
};

function wished(wish) {
  if (wish === "raise") {
    throw new TypeError("no such thing");
  }
  if (wish === "throw") {
    throw "oops";
  }
  if (wish === "nothing") {
    return;
  }
  if (wish === "error-with-code") {
    throw Object.assign(new Error("there is none"), { code: "no-such-city" });
  }
  if (wish === "fail") {
    throw { code: "no-such-city", message: "there is none" };
  }
  const began = Date.now();
  sleep(200_000);
  log("info", "logged", undefined);
  const slept = Math.round((Date.now() - began) / 1000);
  return JSON.stringify({ slept, year: new Date().getFullYear() });
}

