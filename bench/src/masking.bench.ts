// Masking throughput: a build log in 64 KiB chunks through a masker with 1, 30 and 300 secrets,
// beside a plain copy of the same chunks in the same round. The log is the hard, ordinary case: many
// words and hashes that resemble secrets, and a secret in one line of two hundred.

import { createHash } from 'node:crypto';

import { SecretMasker } from '@onejob/masking';
import { median } from './statistics.ts';

const chunkBytes = 64 * 1024;
const logBytes = 16 * 1024 * 1024;
const rounds = 9;
const secretCounts = [1, 30, 300];
/** The case with a target, and what it is. */
const ORDINARY = '30';
const TARGET_MB_PER_S = 150;

/**
 * Measures MB/s (10^6 bytes) as medians of `rounds` rounds, each kind once a round, and the ratio to
 * the plain copy of the same round.
 */
export async function benchMasking(): Promise<Record<string, unknown>> {
  const cases = secretCounts.map((count) => prepareCase(`${count}`, count, buildLog));
  cases.push(prepareCase('30, every byte in an almost complete secret', 30, buildNearMisses));
  for (const one of cases) timeMasking(one);
  for (const one of cases) {
    for (let round = 0; round < rounds; round++) {
      const copyMs = timeCopy(one.chunks);
      const maskMs = timeMasking(one);
      one.copyMbPerS.push(logBytes / copyMs / 1000);
      one.mbPerS.push(logBytes / maskMs / 1000);
      one.ratios.push(copyMs / maskMs);
      // oxlint-disable-next-line no-await-in-loop -- rounds must not run together
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
  }
  return {
    conditions: { logBytes, chunkBytes, rounds, node: process.version },
    bySecrets: Object.fromEntries(
      cases.map((one) => [
        one.name,
        {
          maskMbPerS: Math.round(median(one.mbPerS)),
          plainCopyMbPerS: Math.round(median(one.copyMbPerS)),
          maskToCopyRatio: Number(median(one.ratios).toFixed(3)),
          registerMs: Number(one.registerMs.toFixed(2)),
          regionsMasked: one.regionsMasked,
          ...(one.name === ORDINARY ? besideTarget(median(one.mbPerS)) : {}),
        },
      ]),
    ),
  };
}

const besideTarget = (mbPerS: number): Record<string, unknown> => ({
  targetMbPerS: TARGET_MB_PER_S,
  isTargetMet: mbPerS >= TARGET_MB_PER_S,
});

interface Case {
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
  readonly masker: SecretMasker;
  readonly registerMs: number;
  readonly mbPerS: number[];
  readonly copyMbPerS: number[];
  readonly ratios: number[];
  regionsMasked: number;
}

function prepareCase(
  name: string,
  count: number,
  build: (secrets: readonly string[]) => Uint8Array,
): Case {
  const secrets = Array.from({ length: count }, (_, i) => secret(i));
  const begin = performance.now();
  const masker = new SecretMasker();
  for (const value of secrets) masker.add(value);
  const registerMs = performance.now() - begin;
  const chunks = inChunks(build(secrets));
  return {
    name,
    chunks,
    masker,
    registerMs,
    mbPerS: [],
    copyMbPerS: [],
    ratios: [],
    regionsMasked: 0,
  };
}

/** What people store: API tokens, passwords with signs, connection strings, keys of several lines. */
function secret(index: number): string {
  const random = createHash('sha512').update(`secret ${index}`).digest();
  const words = random.toString('base64url');
  switch (index % 5) {
    case 0:
      return `ghp_${words.slice(0, 36)}`;
    case 1:
      return `${words.slice(0, 8)}!&"${words.slice(9, 16)}$ '${words.slice(20, 23)}`;
    case 2:
      return random.toString('hex').slice(0, 40);
    case 3:
      return `postgres://app:${words.slice(0, 20)}@db.internal:5432/app_${index}`;
    default:
      return `-----BEGIN KEY-----\n${random.toString('base64')}\n-----END KEY-----\n`;
  }
}

/** A log as package managers, compilers and test runners write it; the same every time. */
function buildLog(secrets: readonly string[]): Uint8Array {
  const lines: string[] = [];
  for (let bytes = 0, i = 0; bytes < logBytes; i++) {
    const hash = createHash('sha256').update(`line ${i}`).digest();
    const line = logLine(i, hash, secrets[hash.readUInt32LE(4) % secrets.length]!);
    lines.push(line);
    bytes += line.length + 1;
  }
  return Buffer.from(lines.join('\n')).subarray(0, logBytes);
}

/** The worst case: nothing to skip, and each secret is left at its last byte. */
function buildNearMisses(secrets: readonly string[]): Uint8Array {
  const period = secrets.map((value) => value.slice(0, -1)).join('');
  return Buffer.from(period.repeat(Math.ceil(logBytes / period.length))).subarray(0, logBytes);
}

function logLine(i: number, hash: Buffer, value: string): string {
  const time = new Date(1.7e12 + i * 7).toISOString();
  if (i % 200 === 199) return `${time} ##[debug] Authorization: Bearer ${value}`;
  switch (hash[0]! % 6) {
    case 0:
      return `${time} npm http fetch GET 200 @scope/package-${hash[1]} ${hash[2]}ms (cache hit)`;
    case 1:
      return `${time}  integrity sha512-${hash.toString('base64')}`;
    case 2:
      return `${time}   CC src/lib/module_${hash[1]}/file_${hash[2]}.o -O2 -Wall -fPIC -Iinclude`;
    case 3:
      return `${time} ok ${i} - parses the header when the length is ${hash.readUInt16LE(1)} bytes`;
    case 4:
      return `${time} sha256:${hash.toString('hex')}: Pull complete`;
    default:
      return `${time} [\u001b[32mINFO\u001b[0m] resolved dependency in ${hash[1]} ms; next step`;
  }
}

function inChunks(log: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < log.length; at += chunkBytes) {
    chunks.push(Buffer.copyBytesFrom(log, at, chunkBytes));
  }
  return chunks;
}

function timeCopy(chunks: readonly Uint8Array[]): number {
  const copies: Uint8Array[] = []; // kept, or the engine leaves the copying out
  const begin = performance.now();
  for (const chunk of chunks) copies.push(new Uint8Array(chunk));
  const tookMs = performance.now() - begin;
  const bytes = copies.reduce((sum, copy) => sum + copy.length, 0);
  if (bytes !== logBytes) throw new Error(`copied ${bytes} of ${logBytes} bytes`);
  return tookMs;
}

function timeMasking(one: Case): number {
  const stream = one.masker.stream();
  const shown: Uint8Array[] = [];
  const begin = performance.now();
  for (const chunk of one.chunks) shown.push(stream.push(chunk));
  shown.push(stream.flush());
  const tookMs = performance.now() - begin;
  if (stream.heldBytes > 0 || shown.every((part) => part.length === 0)) {
    throw new Error('the masker swallowed the log');
  }
  one.regionsMasked = stream.maskedRegions;
  return tookMs;
}
