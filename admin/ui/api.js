// The admin API: requests that show the token, and the stream of events. The
// token is kept as long as the tab lives, and for this address alone.

const kept = "holdfast-token";

export const token = {
  get: () => sessionStorage.getItem(kept) ?? "",
  set: (value) => sessionStorage.setItem(kept, value),
  forget: () => sessionStorage.removeItem(kept),
};

/** An answer that says no. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body.error ? `${body.error}. ${body.remedy ?? ""}` : `The answer was ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.errors = body.errors ?? [];
  }
}

function headers(extra = {}) {
  return token.get() ? { ...extra, Authorization: `Bearer ${token.get()}` } : extra;
}

/** The answer to a request; throws a Refusal, or a TypeError when nobody answers. */
export async function ask(method, path, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  const search = filled.length ? "?" + new URLSearchParams(filled) : "";
  const answer = await fetch(`api/v1/${path}${search}`, { method, headers: headers({ Accept: "application/json" }), cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, body);
  return body;
}

export const get = (path, query) => ask("GET", path, query);

/** The path of a backend, or of a pool if none is named. */
export function pathOf(pool, backend) {
  const path = `pools/${encodeURIComponent(pool)}`;
  return backend === undefined ? path : `${path}/backends/${encodeURIComponent(backend)}`;
}

/** Follows events for ever: calls seen with each, and state with "live" or why not. */
export async function follow(seen, state) {
  let last = "";
  let pause = 500;
  for (;;) {
    try {
      const answer = await fetch("api/v1/events", { headers: headers(last ? { "Last-Event-ID": last } : {}), cache: "no-store" });
      if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
      state("live");
      pause = 500;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const messages = (rest + value).split("\n\n");
        rest = messages.pop();
        for (const message of messages) {
          const data = message.split("\n").find((line) => line.startsWith("data: "));
          if (!data) continue;
          const event = JSON.parse(data.slice(6));
          if (event.id) last = event.id;
          seen(event);
        }
      }
      state("interrupted");
    } catch (error) {
      state(error instanceof Refusal && error.status === 401 ? "locked" : "interrupted");
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 8000);
  }
}
