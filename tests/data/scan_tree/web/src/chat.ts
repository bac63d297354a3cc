import OpenAI from "openai";
import { createAzure } from "@ai-sdk/azure";
import icon from "./assets/gpt-4-0613.svg";

const client = new OpenAI();
const MODEL = process.env.MODEL ?? "gpt-4o-2024-08-06";
const cheap = 'gpt-4.1-nano-2025-04-14';
const template = `gpt-4-1106-preview`;
type Engine = "o3-mini" | "custom";
const reasoning = { model: 'o1-pro', effort: "high" };
const byName: Record<string, number> = { "gpt-4-32k": 32768, 'gpt-4-32k-clone': 1 };

/* Moved away from gpt-4-0314. */
// TODO: try gpt-4o-audio-preview here; see https://example.com/gpt-4o-audio-preview/notes
export async function ask(text: string, model = "ft:gpt-4o-2024-08-06:acme:tone:Z9y8X7w6") {
  if (model.startsWith("gpt-4-0613")) throw new Error("Please don't use gpt-4-0613 any more");
  const body = JSON.stringify({ "model": "gpt-4-turbo", "input": text });
  const legacy = "{\"model\": \"gpt-3.5-turbo-1106\"}";
  const path = `${process.env.BASE}/v1beta/models/gemini-2.0-flash:generateContent`;
  const joined = `gpt-4-0613-${text}` + `${model}gpt-4-0613`;
  const o1 = 1, o3 = "o3", ada = "ada";
  await fetch(path, { body, headers: { "x-trace": "gpt-4o-2024-08-06-1a2b3c", legacy, joined } });
  return client.responses.create({ model, input: `${o1}${o3}${ada}` });
}
