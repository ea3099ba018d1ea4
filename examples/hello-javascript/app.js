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
    const greeting = `Hello, ${JSON.parse(params).name}!`;
    // People see it. A cancel arrives here as an exception, which ends the run.
    report(1, 1, greeting);
    return JSON.stringify({ greeting });
  },
};
