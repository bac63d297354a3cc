// The Responses API, embeddings and the completions of old, as applications use them through openai-node.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { callAfter, calls, countedFetch, gateway } from "./provider.mjs";

const FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4";
const client = new OpenAI(gateway);
const question = { model: "chat", input: "How do I change my password?" };
const weather = { role: "user", content: "What is the weather in Lisbon?" };
const invoice = { model: "chat", input: "Invoice INV-2026-0117 from Globex, total 99.50 EUR." };
const Invoice = z.object({ invoice_number: z.string(), vendor: z.string(), total: z.number() });
const expected = { invoice_number: "INV-2026-0117", vendor: "Globex", total: 99.5 };
const tools = [
  zodResponsesFunction({ name: "get_weather", description: "The weather of a city.", parameters: z.object({ city: z.string() }) }),
];

test("a whole answer", async () => {
  const answer = await client.responses.create(question);
  assert.deepEqual([answer.model, answer.status], [FINE_TUNE, "completed"]);
  assert.match(answer.output_text, /The Acme community team$/);
  assert.ok(answer.usage.output_tokens > 0);
  assert.ok(answer._request_id);
});

test("the response says who answered and why", async () => {
  const { response } = await client.responses.create(question).withResponse();
  assert.equal(response.headers.get("x-gateway-model"), FINE_TUNE);
  assert.equal(response.headers.get("x-gateway-served-by"), "primary");
});

test("a stream has its events in order and ends with the whole answer", async () => {
  const events = await Array.fromAsync(await client.responses.create({ ...question, stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.deepEqual([events.at(0).type, events.at(-1).type], ["response.created", "response.completed"]);
  const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.ok(deltas.length > 1);
  const [{ content }] = events.at(-1).response.output;
  assert.equal(content[0].text, deltas.join(""));
  assert.ok(events.at(-1).response.usage.output_tokens > 0);
});

test("the streaming helper ends with the whole answer", async () => {
  let text = "";
  const stream = client.responses.stream(question).on("response.output_text.delta", ({ delta }) => (text += delta));
  assert.equal((await stream.finalResponse()).output_text, text);
});

test("a tool is called, answered and spoken of", async () => {
  const asked = await client.responses.create({ model: "chat", input: [weather], tools });
  const [call] = asked.output;
  assert.deepEqual([call.type, call.name, JSON.parse(call.arguments)], ["function_call", "get_weather", { city: "Lisbon" }]);
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny, 24 °C" };
  const answer = await client.responses.create({ model: "chat", input: [weather, call, result], tools });
  assert.match(answer.output_text, /sunny, 24 °C/);
});

test("a tool is called, answered and spoken of in streams", async () => {
  const asked = await client.responses.stream({ model: "chat", input: [weather], tools }).finalResponse();
  const [{ type, call_id, name, arguments: written }] = asked.output;
  assert.deepEqual(JSON.parse(written), { city: "Lisbon" });
  const result = { type: "function_call_output", call_id, output: "rain" };
  const input = [weather, { type, call_id, name, arguments: written }, result];
  assert.match((await client.responses.stream({ model: "chat", input, tools }).finalResponse()).output_text, /rain/);
});

test("a tool's arguments are parsed by a schema", async () => {
  const answer = await client.responses.parse({ model: "chat", input: [weather], tools, tool_choice: "required" });
  assert.deepEqual(answer.output[0].parsed_arguments, { city: "Lisbon" });
});

test("an answer is parsed by a schema", async () => {
  const answer = await client.responses.parse({ ...invoice, text: { format: zodTextFormat(Invoice, "invoice") } });
  assert.deepEqual(answer.output_parsed, expected);
});

test("a streamed answer is parsed by a schema", async () => {
  const stream = client.responses.stream({ ...invoice, text: { format: zodTextFormat(Invoice, "invoice") } });
  assert.deepEqual((await stream.finalResponse()).output_parsed, expected);
});

test("a stored conversation goes on from its last response", async () => {
  const asked = await client.responses.create({ model: "chat", input: [weather], tools });
  const result = { type: "function_call_output", call_id: asked.output[0].call_id, output: "fog" };
  const answer = await client.responses.create({ model: "chat", input: [result], tools, previous_response_id: asked.id });
  assert.match(answer.output_text, /fog/);
});

test("a stored response is fetched, listed and deleted", async () => {
  const made = await client.responses.create(question);
  assert.equal((await client.responses.retrieve(made.id)).output_text, made.output_text);
  const items = await Array.fromAsync(client.responses.inputItems.list(made.id));
  assert.deepEqual(items.map((item) => item.content[0].text), [question.input]);
  await client.responses.delete(made.id);
  await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
});

test("what goes on from nothing is said to be unknown", async () => {
  const asked = client.responses.create({ ...question, previous_response_id: "resp_0123456789abcdef" });
  await assert.rejects(asked, (error) => error instanceof OpenAI.BadRequestError && error.code === "previous_response_not_found");
});

test("a provider that fails is not asked again", async () => {
  const fetch = countedFetch();
  const asked = new OpenAI({ ...gateway, fetch }).responses.create({ ...question, model: "fault-5xx" });
  await assert.rejects(asked, OpenAI.InternalServerError);
  assert.equal(fetch.requests, 1);
});

test("a stream that breaks off is an error and not an end", async () => {
  const types = [];
  await assert.rejects(async () => {
    for await (const event of await client.responses.create({ ...question, model: "fault-cut", stream: true })) {
      types.push(event.type);
    }
  }, OpenAI.APIError);
  assert.ok(types.includes("response.output_text.delta") && !types.includes("response.completed"));
});

test("a client that loses patience ends the upstream call", async () => {
  const before = await calls();
  const impatient = new OpenAI({ ...gateway, maxRetries: 0, timeout: 500 });
  await assert.rejects(impatient.responses.create({ ...question, model: "fault-stall" }), OpenAI.APIConnectionTimeoutError);
  assert.equal((await callAfter(before)).complete, false);
});

test("vectors of many texts come in their order", async () => {
  const input = ["How do I change my password?", "I want to change my password.", "The invoice comes by mail."];
  const { data, usage } = await client.embeddings.create({ model: "embeddings", input });
  const likeness = (one, other) => one.embedding.reduce((sum, number, place) => sum + number * other.embedding[place], 0);
  assert.deepEqual(data.map((row) => row.index), [0, 1, 2]);
  assert.equal(data[0].embedding.length, 1536);
  assert.ok(likeness(data[0], data[1]) > likeness(data[0], data[2]));
  assert.ok(usage.total_tokens > 0);
});

test("the SDK's own encoding and plain numbers are the same vector, and a shorter one is shorter", async () => {
  const ask = async (more) => (await client.embeddings.create({ model: "embeddings", input: "a password", ...more })).data[0].embedding;
  const [packed, plain] = [await ask({}), await ask({ encoding_format: "float" })];
  assert.ok(packed.every((number, place) => Math.abs(number - plain[place]) < 1e-6));
  assert.equal((await ask({ dimensions: 256 })).length, 256);
});

test("a text is continued, whole and streamed", async () => {
  const asked = { model: "completions", prompt: "Once upon a time", max_tokens: 20 };
  const whole = await client.completions.create(asked);
  const parts = await Array.fromAsync(await client.completions.create({ ...asked, stream: true }));
  assert.equal(parts.map((part) => part.choices[0]?.text ?? "").join(""), whole.choices[0].text);
  assert.ok(whole.choices[0].text && parts.length > 1);
});
