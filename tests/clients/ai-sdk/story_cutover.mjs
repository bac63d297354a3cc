// One conversation with tools, across its fine-tune's death between a call and its result, and across its return.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

import { gateway, restore, retire } from "./provider.mjs";

const FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4";
const CITIES = ["Lisbon", "Porto", "Madrid", "Oslo", "Rome"];
// Who answers: for each city a call, and what is said of its result.
const SERVED_BY = [...Array(3).fill("primary"), ...Array(4).fill("fallback"), ...Array(3).fill("primary")];
const openai = createOpenAI(gateway);
const compatible = createOpenAICompatible({ name: "gateway", ...gateway });
const servedBy = ({ response }) => response.headers["x-gateway-served-by"];
const whole = (asked) => generateText(asked);

async function streamed(asked) {
  const answer = streamText(asked);
  await answer.consumeStream();
  return { steps: await answer.steps, text: await answer.text, response: await answer.response };
}

async function isBack() {
  return servedBy(await generateText({ model: openai.chat("chat"), prompt: "Hello" })) === "primary";
}

const tools = {
  get_weather: tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      if (city === "Porto") await retire(FINE_TUNE);
      if (city === "Oslo") await restore(FINE_TUNE, isBack);
      return `sunny in ${city}`;
    },
  }),
};

for (const [name, model, answer] of [
  ["over responses", openai("chat"), whole],
  ["over responses, streamed", openai("chat"), streamed],
  ["over chat completions", openai.chat("chat"), whole],
  ["over compatible chat completions, streamed", compatible("chat"), streamed],
]) {
  test(`a conversation ${name}`, async () => {
    const messages = [];
    const served = [];
    for (const city of CITIES) {
      messages.push({ role: "user", content: `What is the weather in ${city}?` });
      const { steps, text, response } = await answer({ model, messages, tools, stopWhen: isStepCount(3) });
      served.push(...steps.map(servedBy));
      assert.ok(text.includes(`sunny in ${city}`));
      messages.push(...(steps.length > 1 ? steps.flatMap((step) => step.response.messages) : response.messages));
    }
    assert.deepEqual(served, SERVED_BY);
  });
}
