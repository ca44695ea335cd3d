/** What a test tells its stand-ins of Firecracker and the jailer, in their start scripts. */
export type StandInOptions = {
  version: string;
  jailerVersion: string;
  guestRunnerPath: string;
  /** The guest's processes carry it, for tests that look for them; by default none. */
  hostMarker?: string;
  fault?: Fault;
  /** What it was asked, one line each, is appended there. */
  recordPath?: string;
};

export type Fault =
  /** The API's socket is never there. */
  | { kind: 'no_api' }
  /** Answers 400, with this fault message; undefined: with no JSON at all. */
  | { kind: 'refuses'; request: string; message?: string }
  /** Ends within this request, with this status. */
  | { kind: 'dies_at'; request: string; status: number }
  /** Never answers this request. */
  | { kind: 'hangs_at'; request: string }
  /** How it answers on vsock: says nothing, something else, or without an end; or nobody listens. */
  | { kind: 'vsock'; how: 'silent' | 'wrong' | 'endless' | 'nobody' | 'dies' }
  /** The tiny guest takes for ever, or ends without a word. */
  | { kind: 'tiny_guest'; how: 'hangs' | 'silent' }
  /** The jailer ends with this status. */
  | { kind: 'jailer'; status: number };

export function end(status: number): never {
  // oxlint-disable-next-line unicorn/no-process-exit -- a monitor that ends does so at once
  process.exit(status);
}
