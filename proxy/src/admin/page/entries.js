// The loads, evictions and answers of the last 15 minutes, as the instance's clock counts them. Pure; tested in
// tests/page.

/** Minutes for which an entry is shown, and the most that are kept, as by the instance itself. */
export const MINUTES = 15;
const MOST = 2000;

/** The begin and the end of an entry, in milliseconds since 1970. */
export const begin = entry => entry.at_ms;
export const end = entry => entry.at_ms + 1000 * (entry.took_s ?? 0);

/** What an instance tells of its last minutes. Moments `here` are this browser's, in milliseconds since 1970. */
export function timelineEntries() {
  let kept = [];
  /** Milliseconds by which the instance's clock is ahead of this browser's; null until it has said so. */
  let ahead = null;
  const now = here => here + (ahead ?? 0);
  return {
    /** Takes the first entries of a connection, which are all that there are: some may be here from the one before. */
    begin(all) { kept = all.slice(-MOST); },
    /** Takes what is new. */
    add(more) { kept = [...kept, ...more].slice(-MOST); },
    /** Takes what the instance's clock says; tells whether that moves what was shown by more than a second. */
    noteClock(instance, here) {
      const before = ahead;
      ahead = instance - here;
      return before == null || Math.abs(ahead - before) > 1000;
    },
    /** A moment by the clock of the instance. */
    now,
    /** The entries that are not too old, the oldest first; all of them before the clock of the instance is known. */
    recent: here => ahead == null ? kept : kept.filter(entry => end(entry) > now(here) - MINUTES * 60000),
  };
}
