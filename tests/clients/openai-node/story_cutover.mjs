// One conversation with tools, across its fine-tune's death between a call and its result, and across its return.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodFunction, zodResponsesFunction } from "openai/helpers/zod";
import { z } from "zod";

import { gateway, restore, retire } from "./provider.mjs";

const FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4";
const CITIES = ["Lisbon", "Porto", "Madrid", "Oslo", "Rome"];
// Who answers: for each city a call, and what is said of its result.
const SERVED_BY = [...Array(3).fill("primary"), ...Array(4).fill("fallback"), ...Array(3).fill("primary")];
const client = new OpenAI(gateway);
const tool = { name: "get_weather", description: "The weather of a city.", parameters: z.object({ city: z.string() }) };

async function servedBy(request) {
  const { data, response } = await request.withResponse();
  return [data, response.headers.get("x-gateway-served-by")];
}

async function isBack() {
  const hello = { model: "chat", messages: [{ role: "user", content: "Hello" }] };
  return (await servedBy(client.chat.completions.create(hello)))[1] === "primary";
}

async function getWeather(written) {
  const { city } = JSON.parse(written);
  if (city === "Porto") await retire(FINE_TUNE);
  if (city === "Oslo") await restore(FINE_TUNE, isBack);
  return `sunny in ${city}`;
}

test("a conversation over chat completions", async () => {
  const messages = [];
  const served = [];
  const answer = async () => {
    const [data, by] = await servedBy(client.chat.completions.create({ model: "chat", messages, tools: [zodFunction(tool)] }));
    served.push(by);
    messages.push(data.choices[0].message);
    return data.choices[0].message;
  };
  for (const city of CITIES) {
    messages.push({ role: "user", content: `What is the weather in ${city}?` });
    const [call] = (await answer()).tool_calls;
    messages.push({ role: "tool", tool_call_id: call.id, content: await getWeather(call.function.arguments) });
    assert.ok((await answer()).content.includes(`sunny in ${city}`));
  }
  assert.deepEqual(served, SERVED_BY);
  assert.equal(new Set(messages.filter(({ role }) => role === "tool").map((result) => result.tool_call_id)).size, CITIES.length);
});

test("a conversation over responses, sent whole", async () => {
  const input = [];
  const served = [];
  const answer = async () => {
    const [data, by] = await servedBy(client.responses.create({ model: "chat", input, tools: [zodResponsesFunction(tool)] }));
    served.push(by);
    input.push(...data.output);
    return data;
  };
  for (const city of CITIES) {
    input.push({ role: "user", content: `What is the weather in ${city}?` });
    const call = (await answer()).output.find(({ type }) => type === "function_call");
    input.push({ type: "function_call_output", call_id: call.call_id, output: await getWeather(call.arguments) });
    const { output } = await answer();
    assert.ok(output.at(-1).content[0].text.includes(`sunny in ${city}`));
  }
  assert.deepEqual(served, SERVED_BY);
});
