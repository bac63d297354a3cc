// Vercel's AI SDK: over responses (what its OpenAI provider speaks by itself), over chat completions, and as "compatible".
import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, embedMany, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

import { callAfter, calls, countedFetch, gateway } from "./provider.mjs";

const openai = createOpenAI(gateway);
const compatible = createOpenAICompatible({ name: "gateway", includeUsage: true, supportsStructuredOutputs: true, ...gateway });
const languages = {
  responses: (route) => openai(route),
  "chat completions": (route) => openai.chat(route),
  "compatible chat completions": (route) => compatible(route),
};
const question = "How do I change my password?";
const weather = "What is the weather in Lisbon?";
const tools = {
  get_weather: tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  }),
};
const invoice = Output.object({ schema: z.object({ invoice_number: z.string(), vendor: z.string(), total: z.number() }) });
const expected = { invoice_number: "INV-2026-0117", vendor: "Globex", total: 99.5 };
const prompt = "Invoice INV-2026-0117 from Globex, total 99.50 EUR.";
// Else every error is printed where it is also thrown.
const quiet = { onError: () => {} };

for (const [name, language] of Object.entries(languages)) {
  test(`${name}: a whole answer, with usage and headers`, async () => {
    const answer = await generateText({ model: language("chat"), prompt: question });
    assert.match(answer.text, /The Acme community team$/);
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
    assert.equal(answer.response.headers["x-gateway-served-by"], "primary");
  });

  test(`${name}: a stream`, async () => {
    const answer = streamText({ model: language("chat"), prompt: question });
    const pieces = await Array.fromAsync(answer.textStream);
    assert.ok(pieces.length > 1);
    assert.match(pieces.join(""), /The Acme community team$/);
    assert.ok((await answer.usage).outputTokens > 0);
  });

  test(`${name}: a tool is called, answered and spoken of`, async () => {
    const answer = await generateText({ model: language("chat"), prompt: weather, tools, stopWhen: isStepCount(3) });
    assert.deepEqual(answer.steps[0].toolCalls[0].input, { city: "Lisbon" });
    assert.match(answer.text, /sunny in Lisbon/);
  });

  test(`${name}: a tool is called, answered and spoken of in streams`, async () => {
    const answer = streamText({ model: language("chat"), prompt: weather, tools, stopWhen: isStepCount(3) });
    assert.match((await Array.fromAsync(answer.textStream)).join(""), /sunny in Lisbon/);
    assert.equal((await answer.steps).length, 2);
  });

  test(`${name}: a conversation goes on with its messages`, async () => {
    const first = await generateText({ model: language("chat"), prompt: weather, tools, stopWhen: isStepCount(3) });
    const messages = [
      { role: "user", content: weather },
      ...first.response.messages,
      { role: "user", content: "What is the weather in Porto?" },
    ];
    const second = await generateText({ model: language("chat"), messages, tools, stopWhen: isStepCount(3) });
    assert.match(second.text, /sunny in Porto/);
  });

  test(`${name}: an object that keeps its schema`, async () => {
    const answer = await generateText({ model: language("chat"), prompt, output: invoice });
    assert.deepEqual(answer.output, expected);
  });

  test(`${name}: an object in parts`, async () => {
    const answer = streamText({ model: language("chat"), prompt, output: invoice });
    assert.deepEqual((await Array.fromAsync(answer.partialOutputStream)).at(-1), expected);
  });

  test(`${name}: an unknown route`, async () => {
    const asked = generateText({ model: language("chatt"), prompt: question });
    await assert.rejects(asked, (error) => APICallError.isInstance(error) && error.statusCode === 404 && !error.isRetryable);
  });
}

for (const [name, embedding] of [
  ["openai", openai.embedding("embeddings")],
  ["compatible", compatible.embeddingModel("embeddings")],
]) {
  test(`${name}: embeddings`, async () => {
    const { embedding: one } = await embed({ model: embedding, value: "a password" });
    const { embeddings, usage } = await embedMany({ model: embedding, values: ["a password", "an invoice"] });
    assert.deepEqual(embeddings[0], one);
    assert.notDeepEqual(embeddings[1], one);
    assert.ok(usage.tokens > 0);
  });
}

test("a wrong key is refused", async () => {
  const model = createOpenAI({ ...gateway, apiKey: "sk-wrong" }).chat("chat");
  await assert.rejects(generateText({ model, prompt: question }), (error) => error.statusCode === 401);
});

test("a connection that fails is tried again", async () => {
  const fetch = countedFetch({ broken: 1 });
  const model = createOpenAI({ ...gateway, fetch }).chat("chat");
  assert.ok((await generateText({ model, prompt: question })).text);
  assert.equal(fetch.requests, 2);
});

test("a rate limit is waited out", async () => {
  const fetch = countedFetch();
  const model = createOpenAI({ ...gateway, fetch }).chat("fault-429");
  const started = performance.now();
  await assert.rejects(generateText({ model, prompt: question, maxRetries: 1 }), (error) => error.lastError.statusCode === 429);
  assert.equal(fetch.requests, 2);
  assert.ok(performance.now() - started >= 1_900);
});

test("a provider that fails is an error", async () => {
  const asked = generateText({ model: openai.chat("fault-5xx"), prompt: question, maxRetries: 0 });
  await assert.rejects(asked, (error) => error.statusCode >= 500 && error.responseHeaders["x-should-retry"] === "false");
});

test("a stream that breaks off is an error and not an end", async () => {
  const { fullStream } = streamText({ model: openai.chat("fault-cut"), prompt: question, ...quiet });
  const parts = await Array.fromAsync(fullStream);
  assert.ok(parts.some((part) => part.type === "text-delta"));
  assert.ok(parts.some((part) => part.type === "error"));
});

test("a caller who aborts ends the upstream call", async () => {
  const before = await calls();
  const controller = new AbortController();
  const { fullStream } = streamText({
    model: openai.chat("fault-stall"),
    prompt: question,
    abortSignal: controller.signal,
    ...quiet,
  });
  for await (const part of fullStream) if (part.type === "text-delta") controller.abort();
  assert.equal((await callAfter(before)).complete, false);
});
