// Chat completions as applications use them through openai-node.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { gateway } from "./provider.mjs";

const FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4";
const client = new OpenAI(gateway);
const question = { model: "chat", messages: [{ role: "user", content: "How do I change my password?" }] };
const weather = { model: "chat", messages: [{ role: "user", content: "What is the weather in Lisbon?" }] };
const invoice = { model: "chat", messages: [{ role: "user", content: "Invoice INV-2026-0117 from Globex, total 99.50 EUR." }] };
const Invoice = z.object({ invoice_number: z.string(), vendor: z.string(), total: z.number() });
const getWeather = zodFunction({
  name: "get_weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
});

test("a whole answer", async () => {
  const answer = await client.chat.completions.create(question);
  assert.equal(answer.model, FINE_TUNE);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.match(answer.choices[0].message.content, /The Acme community team$/);
  assert.ok(answer.usage.completion_tokens > 0);
  assert.ok(answer._request_id);
});

test("the response says who answered and why", async () => {
  const { response, request_id: requestId } = await client.chat.completions.create(question).withResponse();
  assert.equal(response.headers.get("x-gateway-model"), FINE_TUNE);
  assert.equal(response.headers.get("x-gateway-served-by"), "primary");
  assert.equal(response.headers.get("x-gateway-reason"), "primary");
  assert.equal(response.headers.get("x-request-id"), requestId);
});

test("the fallback by its pin", async () => {
  const asked = { ...question, model: "chat@fallback", max_tokens: 200 };
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  assert.equal(response.headers.get("x-gateway-served-by"), "fallback");
  assert.match(response.headers.get("x-gateway-adapted"), /max_tokens/);
  assert.equal(data.model, "gpt-6-luna");
});

test("the routes are listed as models", async () => {
  const ids = (await Array.fromAsync(client.models.list())).map((model) => model.id);
  assert.ok(ids.includes("chat") && ids.includes("embeddings"));
});

test("a stream without usage", async () => {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...question, stream: true })) {
    assert.equal(chunk.choices.length, 1);
    text += chunk.choices[0].delta.content ?? "";
  }
  assert.match(text, /The Acme community team$/);
});

test("a stream with usage at its end", async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = await Array.fromAsync(await client.chat.completions.create({ ...question, ...options }));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

test("the streaming helper ends with the whole answer", async () => {
  const stream = client.chat.completions.stream(question);
  let text = "";
  stream.on("content", (delta) => (text += delta));
  assert.equal(await stream.finalContent(), text);
});

test("a tool is called, answered and spoken of", async () => {
  const asked = await client.chat.completions.create({ ...weather, tools: [getWeather] });
  const { message } = asked.choices[0];
  assert.equal(asked.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Lisbon" });
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny, 24 °C" };
  const messages = [...weather.messages, message, result];
  const answer = await client.chat.completions.create({ ...weather, messages, tools: [getWeather] });
  assert.match(answer.choices[0].message.content, /sunny, 24 °C/);
});

test("a streamed tool call is put together again", async () => {
  const call = { id: "", name: "", arguments: "" };
  for await (const chunk of await client.chat.completions.create({ ...weather, tools: [getWeather], stream: true })) {
    for (const part of chunk.choices[0].delta.tool_calls ?? []) {
      call.id += part.id ?? "";
      call.name += part.function.name ?? "";
      call.arguments += part.function.arguments ?? "";
    }
  }
  assert.deepEqual([call.name, JSON.parse(call.arguments)], ["get_weather", { city: "Lisbon" }]);
  const { id, ...called } = call;
  const history = [
    ...weather.messages,
    { role: "assistant", tool_calls: [{ id, type: "function", function: called }] },
    { role: "tool", tool_call_id: id, content: "rain" },
  ];
  const stream = client.chat.completions.stream({ model: "chat", messages: history, tools: [getWeather] });
  assert.match(await stream.finalContent(), /rain/);
});

test("a tool's arguments are parsed by a schema", async () => {
  const answer = await client.chat.completions.parse({ ...weather, tools: [getWeather], tool_choice: "required" });
  assert.deepEqual(answer.choices[0].message.tool_calls[0].function.parsed_arguments, { city: "Lisbon" });
});

for (const stream of [false, true]) {
  test(`tools are run by the SDK, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = [];
    const callback = ({ city }) => (asked.push(city), `sunny in ${city}`);
    const runnable = zodFunction({ ...getWeather.function, parameters: z.object({ city: z.string() }), function: callback });
    const runner = client.chat.completions.runTools({ ...weather, stream, tools: [runnable] });
    assert.match(await runner.finalContent(), /sunny in Lisbon/);
    assert.deepEqual(asked, ["Lisbon"]);
  });
}

test("an answer is parsed by a schema", async () => {
  const format = zodResponseFormat(Invoice, "invoice");
  const answer = await client.chat.completions.parse({ ...invoice, response_format: format });
  assert.deepEqual(answer.choices[0].message.parsed, { invoice_number: "INV-2026-0117", vendor: "Globex", total: 99.5 });
});

test("a streamed answer is parsed by a schema", async () => {
  const format = zodResponseFormat(Invoice, "invoice");
  const final = await client.chat.completions.stream({ ...invoice, response_format: format }).finalChatCompletion();
  assert.equal(final.choices[0].message.parsed.vendor, "Globex");
});

test("many at once", async () => {
  const cities = Array.from({ length: 20 }, (_, number) => `Springfield ${number}`);
  const ask = async (city) => {
    const messages = [{ role: "user", content: `How do I get to ${city}?` }];
    return client.chat.completions.stream({ model: "chat", messages }).finalContent();
  };
  const answers = await Promise.all(cities.map(ask));
  answers.forEach((answer, number) => assert.ok(answer.includes(cities[number])));
});
