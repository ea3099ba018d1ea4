// The smallest task type in JavaScript: greets whoever is named. Start from here.

import { report } from "taskhost:task/progress@1.0.0";

const descriptor = {
  id: "hello-javascript",
  version: "0.1.0",
  title: "Say hello, in JavaScript",
  // A host checks params and result against these; they may be left out.
  params_schema: {
    type: "object",
    properties: { name: { type: "string", description: "Whom to greet." } },
    required: ["name"],
  },
  result_schema: {
    type: "object",
    properties: { greeting: { type: "string" } },
    required: ["greeting"],
  },
};

// What the host calls.
export const task = {
  describe() {
    return JSON.stringify(descriptor);
  },

  run(params) {
    return told(() => {
      const greeting = `Hello, ${JSON.parse(params).name}!`;
      // People see it. A cancel arrives here as an exception, which ends the run.
      report(1, 1, greeting);
      return JSON.stringify({ greeting });
    });
  },
};

// An exception of the language would lose its words on its way to the host, so it leaves as an error
// of the contract: `{ code, message, retryable }`, which you may throw yourself.
function told(work) {
  try {
    const result = work();
    if (typeof result !== "string") {
      throw new TypeError(`run returned no text but ${typeof result}: return JSON.stringify(…)`);
    }
    return result;
  } catch (error) {
    if (typeof error?.code === "string" && typeof error?.message === "string") {
      // Named: what an Error says is none of the keys that are spread.
      throw { retryable: false, ...error, code: error.code, message: error.message };
    }
    const at = error?.stack?.trim().split("\n")[0].trim() ?? "";
    throw { code: "exception", message: `${error} ${at}`.trim(), retryable: false };
  }
}
