// What openai-node makes of the gateway's errors, and what the provider sees of a client that leaves.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { callAfter, calls, countedFetch, gateway } from "./provider.mjs";

const messages = [{ role: "user", content: "How do I change my password?" }];

function clientWith(options = {}) {
  const fetch = countedFetch(options);
  return { client: new OpenAI({ ...gateway, ...options, fetch }), fetch };
}

/** Ask, and return the error together with how often was asked. */
async function refused(model, options = {}, more = {}) {
  const { client, fetch } = clientWith(options);
  const error = await client.chat.completions.create({ model, messages, ...more }).then(
    () => assert.fail("there was an answer"),
    (caught) => caught,
  );
  return { error, requests: fetch.requests };
}

test("an unknown route is not found", async () => {
  const { error, requests } = await refused("chatt");
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, error.type, requests], ["route_not_found", "invalid_request_error", 1]);
  assert.ok(error.requestID);
});

test("a mistake of the caller's comes with the provider's words", async () => {
  const { error } = await refused("chat", {}, { temperature: 9 });
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "temperature");
});

test("a wrong key is refused", async () => {
  const { error, requests } = await refused("chat", { apiKey: "sk-wrong" });
  assert.ok(error instanceof OpenAI.AuthenticationError);
  assert.deepEqual([error.code, requests], ["invalid_api_key", 1]);
});

test("a rate limit comes with its pause", async () => {
  const { error } = await refused("fault-429", { maxRetries: 0 });
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "2");
  assert.equal(error.headers.get("x-should-retry"), null);
});

test("a rate limit is waited out by the SDK", async () => {
  const started = performance.now();
  const { error, requests } = await refused("fault-429", { maxRetries: 1 });
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal(requests, 2);
  assert.ok(performance.now() - started >= 1_900);
});

test("a model that is gone is said so once", async () => {
  const { error, requests } = await refused("gone");
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, requests], ["model_gone", 1]);
});

for (const stream of [false, true]) {
  test(`a provider that fails is not asked again, ${stream ? "streamed" : "whole"}`, async () => {
    const { error, requests } = await refused("fault-5xx", {}, { stream });
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.equal(requests, 1);
  });
}

test("a client that loses patience ends the upstream call", async () => {
  const { client } = clientWith({ maxRetries: 0, timeout: 500 });
  const before = await calls();
  const asked = client.chat.completions.create({ model: "fault-stall", messages });
  await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
  assert.equal((await callAfter(before)).complete, false);
});

test("a stream that is aborted ends the upstream call", async () => {
  const { client } = clientWith();
  const before = await calls();
  const stream = await client.chat.completions.create({ model: "fault-stall", messages, stream: true });
  setTimeout(() => stream.controller.abort(), 200);
  for await (const chunk of stream) assert.ok(chunk.choices);
  assert.equal((await callAfter(before)).complete, false);
});

test("a provider that cannot be reached is not asked again", async () => {
  const { error, requests } = await refused("unreachable");
  assert.deepEqual([error.status, error.code, requests], [502, "upstream_unreachable", 1]);
});

test("a stream that breaks off is an error and not an end", async () => {
  const { client } = clientWith();
  let text = "";
  await assert.rejects(async () => {
    for await (const chunk of await client.chat.completions.create({ model: "fault-cut", messages, stream: true })) {
      text += chunk.choices[0].delta.content ?? "";
    }
  }, OpenAI.APIError);
  assert.ok(text);
});

for (const stream of [false, true]) {
  test(`a provider that stalls is given up by the gateway, ${stream ? "streamed" : "whole"}`, async () => {
    const { client, fetch } = clientWith();
    await assert.rejects(
      async () => {
        const answer = await client.chat.completions.create({ model: "impatient", messages, stream });
        for await (const chunk of answer) assert.ok(chunk.choices);
      },
      (error) => error instanceof OpenAI.APIError && error.code === "upstream_timeout",
    );
    assert.equal(fetch.requests, 1);
  });
}

test("a body without messages is a bad request", async () => {
  const { client } = clientWith();
  await assert.rejects(client.chat.completions.create({ model: "chat", messages: "Hello" }), OpenAI.BadRequestError);
});

test("a connection that fails is tried again by the SDK", async () => {
  const { client, fetch } = clientWith({ broken: 1 });
  const answer = await client.chat.completions.create({ model: "chat", messages });
  assert.ok(answer.choices[0].message.content);
  assert.equal(fetch.requests, 2);
});

test("a stream that is left ends the upstream call", async () => {
  const { client } = clientWith();
  const before = await calls();
  const stream = await client.chat.completions.create({ model: "fault-stall", messages, stream: true });
  for await (const _ of stream) break;
  assert.equal((await callAfter(before)).complete, false);
});
