/** The zone's one source of time, so that tests can move it. */
export type Clock = {
  /** Milliseconds since 1970. */
  nowMs(): number;
};

export const systemClock: Clock = { nowMs: () => Date.now() };
