// How fast answers come at this moment, as `crucible top` measures it (cli/src/top/rates.rs): over three seconds, so
// that the rate of a slow model neither jumps nor goes between two of its tokens. Tested in tests/page.

/** Milliseconds over which the rate of this moment is measured. */
const NOW = 3000;

const rate = samples => {
  const [first, last] = [samples[0], samples.at(-1)];
  const tokens = last.tokens - first.tokens;
  return tokens > 0 && last.at > first.at ? tokens / ((last.at - first.at) / 1000) : null;
};

/** The tokens of the requests in flight as they are told; give it each state with its moment in milliseconds. */
export function tokenRates() {
  const seen = new Map();
  return {
    note(requests, at) {
      const known = new Set(requests.map(request => request.request_id));
      for (const id of seen.keys()) if (!known.has(id)) seen.delete(id);
      for (const { request_id: id, tokens } of requests) {
        // The time before the first tokens is no part of their rate.
        const before = seen.get(id) ?? [];
        const samples = before.at(-1)?.tokens === 0 ? [] : before;
        samples.push({ at, tokens });
        while (samples.length > 2 && at - samples[1].at >= NOW) samples.shift();
        seen.set(id, samples);
      }
    },
    /** The tokens per second of a request; null while none come. */
    of: id => seen.has(id) ? rate(seen.get(id)) : null,
    /** Those of all requests. */
    total: () => [...seen.values()].reduce((sum, samples) => sum + (rate(samples) ?? 0), 0),
  };
}
