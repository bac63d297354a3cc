// The provider behind the gateway, seen from the other side. The programs of this directory's neighbours use it.
import { setTimeout as pause } from "node:timers/promises";

const PATIENCE_MS = 5_000;

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

/** A fetch that counts what an SDK sends, its own retries too; the first `broken` connections fail. */
export function countedFetch({ broken = 0 } = {}) {
  const counted = async (...request) => {
    counted.requests += 1;
    if (counted.requests <= broken) throw new TypeError("fetch failed");
    return fetch(...request);
  };
  counted.requests = 0;
  return counted;
}
