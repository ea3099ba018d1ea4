// What the kit of JavaScript has to give an author beside progress: log lines, clocks, errors in words.
// It has no `console`.

import { log } from "taskhost:task/log@1.0.0";
import { sleep } from "taskhost:task/context@1.0.0";

const descriptor = { id: "unkind", version: "0.1.0", title: "Everything but hello" };

export const task = {
  describe() {
    return JSON.stringify(descriptor);
  },

  run(params) {
    const { wish } = JSON.parse(params);
    if (wish === "raise") {
      throw new TypeError("no such thing");
    }
    if (wish === "fail") {
      throw { code: "no-such-city", message: "there is none", retryable: false };
    }
    const began = Date.now();
    sleep(200_000);
    log("info", "logged", undefined);
    const slept = Math.round((Date.now() - began) / 1000);
    return JSON.stringify({ slept, year: new Date().getFullYear() });
  },
};
