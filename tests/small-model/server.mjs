// A real, very small model behind the part of OpenAI's protocol that the host speaks: chats with
// tools and with a JSON schema, one at a time. Test equipment: it listens on loopback, and asks
// nobody for a key.
//
//   node server.mjs MODEL.gguf     prints the server's base URL once it answers

import {createServer} from "node:http";
import {getLlama, LlamaChat} from "node-llama-cpp";

// Two, or it spins on more threads than a small machine has cores.
const THREADS = 2;
const CONTEXT_TOKENS = 4096;
const MOST_TOKENS = 64;

const llama = await getLlama({build: "never", gpu: false, logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
const context = await model.createContext({threads: THREADS, contextSize: CONTEXT_TOKENS});
const chat = new LlamaChat({contextSequence: context.getSequence()});

const textOf = (content) =>
    typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");

function historyOf(messages) {
    return messages.map((message) => {
        const text = textOf(message.content);
        if (message.role === "assistant") {
            return {type: "model", response: [text || JSON.stringify(message.tool_calls ?? "")]};
        }
        return {type: message.role === "system" ? "system" : "user", text};
    });
}

// The model is too small to choose a tool: where there are some it is made to call the first one,
// until a result of it is among the messages.
function toolOf(body) {
    const isAnswered = body.messages.some((message) => message.role === "tool");
    return isAnswered ? undefined : body.tools?.[0]?.function;
}

async function complete(body, signal) {
    const tool = toolOf(body);
    const schema = tool?.parameters ?? body.response_format?.json_schema?.schema;
    const wanted = body.max_completion_tokens ?? body.max_tokens;
    const history = historyOf(body.messages);
    const {response, metadata} = await chat.generateResponse(
        [...history, {type: "model", response: []}],
        {
            signal,
            grammar: schema && (await llama.createGrammarForJsonSchema(schema)),
            maxTokens: Math.min(wanted ?? MOST_TOKENS, MOST_TOKENS),
            temperature: body.temperature ?? 0,
        },
    );
    const isCut = metadata.stopReason === "maxTokens";
    const call = tool && {
        id: "call-1",
        type: "function",
        function: {name: tool.name, arguments: response},
    };
    const message = {role: "assistant", content: call ? null : response};
    const asked = history.map((item) => item.text ?? item.response[0]).join("\n");
    const [prompt_tokens, completion_tokens] = [asked, response].map(
        (text) => model.tokenize(text).length,
    );
    return {
        id: "chat-1",
        object: "chat.completion",
        model: body.model,
        choices: [{
            index: 0,
            message: {...message, tool_calls: call && [call]},
            finish_reason: isCut ? "length" : call ? "tool_calls" : "stop",
        }],
        usage: {prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens},
    };
}

let last = Promise.resolve();

const server = createServer(async (request, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const say = (status, value) => {
        response.writeHead(status, {"content-type": "application/json"});
        response.end(JSON.stringify(value));
    };
    if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
        return say(404, {error: {message: `there is no ${request.method} ${request.url}`}});
    }
    try {
        const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
        const before = last;
        last = before.catch(() => {}).then(() => complete(body, gone.signal));
        say(200, await last);
    } catch (error) {
        say(500, {error: {message: String(error)}});
    }
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
