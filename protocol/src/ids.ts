/**
 * Names of things that cross a boundary. Each is a string at run time and a type of its own at
 * compile time, so that a `JobId` never passes for a `RunId`.
 *
 * Ids of rows are UUIDs of version 7 (RFC 9562): they sort by creation time, and they say nothing
 * but that time. Nobody's rights ever hang on knowing one.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type RunId = Branded<'RunId'>;
export type JobId = Branded<'JobId'>;
export type AgentId = Branded<'AgentId'>;
/** `sb` and 16 lower-case hexadecimal digits: short enough for socket paths and interface names. */
export type SandboxId = Branded<'SandboxId'>;
/** `tenant/name`, each of `[A-Za-z0-9._-]`, at most 100 characters. */
export type RepositoryName = Branded<'RepositoryName'>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const SANDBOX_ID = /^sb[0-9a-f]{16}$/;
const REPOSITORY_PART = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/;

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Values of the 12 bits behind the time. */
const SEQUENCE_VALUES = 4096;
let lastMs = 0;
let sequence = 0;

/**
 * A new UUID of version 7 for the given time in milliseconds since 1970. Within a process each is
 * greater than the one before: the 12 bits behind the time count (RFC 9562, section 6.2, method 1),
 * and time does not go back. So jobs that are made together keep their order.
 */
function newUuid(nowMs: number): string {
  sequence = nowMs > lastMs ? 0 : sequence + 1;
  lastMs = Math.max(nowMs, lastMs) + Math.floor(sequence / SEQUENCE_VALUES);
  sequence %= SEQUENCE_VALUES;
  const head = (BigInt(lastMs) << 16n) | 0x7000n | BigInt(sequence);
  const tail = hex(crypto.getRandomValues(new Uint8Array(8)));
  const variant = ((Number.parseInt(tail.slice(0, 1), 16) & 0x3) | 0x8).toString(16);
  const text = head.toString(16).padStart(16, '0') + variant + tail.slice(1);
  return [
    text.slice(0, 8),
    text.slice(8, 12),
    text.slice(12, 16),
    text.slice(16, 20),
    text.slice(20),
  ].join('-');
}

export const newRunId = (nowMs: number): RunId => newUuid(nowMs) as RunId;
export const newJobId = (nowMs: number): JobId => newUuid(nowMs) as JobId;
export const newAgentId = (nowMs: number): AgentId => newUuid(nowMs) as AgentId;
export const newSandboxId = (): SandboxId =>
  `sb${hex(crypto.getRandomValues(new Uint8Array(8)))}` as SandboxId;

export const isUuid = (text: string): boolean => UUID.test(text);
export const isSandboxId = (text: string): text is SandboxId => SANDBOX_ID.test(text);

/** Splits and checks `tenant/name`; undefined when it is not one. */
export function parseRepositoryName(
  text: string,
): { tenant: string; name: string; full: RepositoryName } | undefined {
  const [tenant, name, ...rest] = text.split('/');
  if (tenant === undefined || name === undefined || rest.length > 0) return undefined;
  if (!REPOSITORY_PART.test(tenant) || !REPOSITORY_PART.test(name)) return undefined;
  return { tenant, name, full: `${tenant}/${name}` as RepositoryName };
}
