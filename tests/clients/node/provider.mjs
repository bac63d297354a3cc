// The provider behind the gateway, seen from the other side. The programs of this directory's neighbours use it.
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const PATIENCE_MS = 5_000;
const RETURN_MS = 60_000;

export const gateway = { baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY };

async function bill(since) {
  const answer = await fetch(`${process.env.SANDBOX_URL}/sandbox/bill?since=${since}`);
  return answer.json();
}

/** How many calls have arrived and ended until now. */
export async function calls() {
  return (await bill(1_000_000_000)).next;
}

/** Wait until another call has ended, and return its row of the bill. */
export async function callAfter(number) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const { rows } = await bill(number);
    if (rows.length > 0) return rows[0];
    await pause(10);
  }
  throw new Error(`the upstream call did not end within ${PATIENCE_MS} ms`);
}

async function command(model, what) {
  const answer = await fetch(`${process.env.SANDBOX_URL}/sandbox/models/${model}/${what}`, { method: "POST", body: "{}" });
  if (!answer.ok) throw new Error(await answer.text());
}

export const retire = (model) => command(model, "retire");

/** Bring a model back, and wait until the gateway has noticed. */
export async function restore(model, noticed) {
  await command(model, "restore");
  const deadline = Date.now() + RETURN_MS;
  while (!(await noticed())) {
    if (Date.now() >= deadline) throw new Error(`the model was not found again within ${RETURN_MS} ms`);
    await pause(20);
  }
}

/** An address at which nobody listens. */
async function nobody() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** A fetch that counts what an SDK sends, its own retries too; the first `broken` requests find a closed port. */
export function countedFetch({ broken = 0 } = {}) {
  const counted = async (url, ...request) => {
    counted.requests += 1;
    return fetch(counted.requests <= broken ? await nobody() : url, ...request);
  };
  counted.requests = 0;
  return counted;
}
