/**
 * Does QEMU run a guest here, and does KVM do it at the processor's speed? A /dev/kvm that opens
 * proves nothing, nor does a guest that reaches HLT: there are hosts that only emulate behind KVM,
 * 300 times slower than QEMU's own emulation (TCG). So a guest of 64 KiB is run against the clock:
 *
 *     real mode, 'R' -> protected mode, 'P' -> long mode with paging, 'L'
 *       -> 20 million times {add, dec, jnz}, 'D' -> isa-debug-exit, QEMU's exit status 33
 *
 * TCG needs 45 to 110 ms for it, working KVM less, KVM that emulates 17 s. Cheap signs that KVM
 * cannot work are looked at first, at each start; what the runs found is remembered in a file for
 * the same boot, kernel and QEMU. That KVM was not done in time is not remembered: a host that is
 * busy looks the same as one that emulates, and four seconds at a start cost less than a boot
 * without KVM.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { AgentError } from '../errors.ts';
import { keepFinding, recallFinding, writeAtomically } from './findings.ts';
import { runTool, type ToolResult } from './short-tool.ts';

export type Acceleration =
  | { accelerator: 'kvm' }
  /** For people: why not KVM. */
  | { accelerator: 'tcg'; whyNotKvm: string };

const PROBE_SHA256 = '3bbcb904d15d82180680798b907db72a45e6ba387029314fff3105b9115d5a4e';
const PROBE_GZIP_BASE64 = [
  'H4sIAAAAAAACA+3Qv0pcQRQH4N9FJAtRrlWwU7YX3DxDmkAKyUPsE8ResAroFpbWdhZuYXEXAt5OU2m5ZaoNuzYLWolh',
  'HY2CD/F9cM6cYf4d5mH4fTI9uGoyH4z7dfVpnnqzXanqbtufdVOnk36zlsF40A5ufmUvGe5Mpo8XWUt67Sgryd3p5fLz',
  'dGkzKVXJS9vJRUpq9pOMOiX9/LCcsrR/2fm6e9eUPam7f5rnY3V3PCrXtvXn1VRlul3eXy3FXmlhdlI6WM/w22Q6ylav',
  '6rXV1eL37sPwy2Raukr+3t/f/rv9eHievMSPvFksSjq+/j8evY7HZ9nITbkTAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACAWYn5u294AglwQDIAAAEA',
].join('');
/** (0x10 << 1) | 1: how isa-debug-exit turns the guest's last word into an exit status. */
const PROBE_EXIT_STATUS = 33;
const PROBE_OUTPUT = 'RPLD';

/** Working KVM is below 100 ms; the second try is for a host that is busy. */
const KVM_TRIES_MS = [1_000, 3_000] as const;
/** TCG on a host so loaded that it needs longer would not boot a guest in time either. */
const TCG_TRIES_MS = [5_000, 15_000] as const;

const FINDING_FILE = 'qemu-acceleration.json';

/** How KVM is looked at; tests put their own in. */
export type KvmTrial = {
  /** Why KVM cannot work here, from signs that cost nothing; undefined: it may. */
  obstacle: () => Promise<string | undefined>;
  triesMs: readonly number[];
};

type Failure = { why: string; timedOut: boolean };

/** What a finding about this QEMU is about: another one, or another guest, is tried anew. */
export const probeOf = (options: { qemuPath: string; qemuVersion: string }): readonly string[] => [
  options.qemuPath,
  options.qemuVersion,
  PROBE_SHA256,
];

/** Throws `driver_unavailable` when QEMU cannot even emulate a guest here. */
export async function probeAcceleration(options: {
  qemuPath: string;
  qemuVersion: string;
  /** Made when missing; holds the probe and what was found. */
  cacheDirectory: string;
  kvm?: KvmTrial;
}): Promise<Acceleration> {
  const kvm = options.kvm ?? { obstacle: obstacleToKvm, triesMs: KVM_TRIES_MS };
  const obstacle = await kvm.obstacle();
  const candidate = obstacle === undefined ? 'kvm' : 'tcg';
  const about = [candidate, ...probeOf(options)];
  const findingPath = join(options.cacheDirectory, FINDING_FILE);
  const known = readFound(await recallFinding(findingPath, about));
  if (known !== undefined) {
    return obstacle === undefined ? known : { accelerator: 'tcg', whyNotKvm: obstacle };
  }
  await mkdir(options.cacheDirectory, { recursive: true, mode: 0o700 });
  const probePath = await writeProbe(options.cacheDirectory);
  const kvmFailure =
    obstacle === undefined
      ? await failureOf('kvm', kvm.triesMs, options.qemuPath, probePath)
      : { why: obstacle, timedOut: false };
  const found = await foundAfterKvm(kvmFailure, options.qemuPath, probePath);
  if (kvmFailure?.timedOut !== true) {
    await keepFinding(findingPath, about, found);
  }
  return found;
}

async function foundAfterKvm(
  kvmFailure: Failure | undefined,
  qemuPath: string,
  probePath: string,
): Promise<Acceleration> {
  if (kvmFailure === undefined) return { accelerator: 'kvm' };
  const tcgFailure = await failureOf('tcg', TCG_TRIES_MS, qemuPath, probePath);
  if (tcgFailure === undefined) return { accelerator: 'tcg', whyNotKvm: kvmFailure.why };
  throw new AgentError(
    'driver_unavailable',
    `QEMU does not run a guest on this host. With KVM: ${kvmFailure.why}. With TCG: ${tcgFailure.why}.`,
  );
}

/** Why KVM cannot work here, from signs that cost nothing; undefined: it may. */
export async function obstacleToKvm(): Promise<string | undefined> {
  const flags = /^flags\s*:(.*)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  const opened = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
  if (opened === 'ENOENT') return 'this host has no /dev/kvm';
  const isParavirtual = await access('/sys/module/kvm_pvm').then(
    () => true,
    () => false,
  );
  if (isParavirtual || !/ (vmx|svm)( |$)/.test(flags)) {
    return 'this host has /dev/kvm, but its processor offers no hardware virtualization (vmx, svm)';
  }
  if (opened === 'EACCES' || opened === 'EPERM') {
    return '/dev/kvm may not be opened by this user: usermod --append --groups kvm <user>';
  }
  if (opened !== undefined) return `/dev/kvm does not open: ${opened}`;
  return undefined;
}

/** undefined: the probe ran to its end in time. */
async function failureOf(
  accelerator: 'kvm' | 'tcg',
  triesMs: readonly number[],
  qemuPath: string,
  probePath: string,
): Promise<Failure | undefined> {
  let failure: Failure | undefined;
  for (const timeoutMs of triesMs) {
    const result = await runTool(qemuPath, probeArguments(accelerator, probePath), { timeoutMs });
    if (isProbeRun(result)) return undefined;
    const said = result.standardError.trim().split('\n').at(-1) ?? '';
    const why = result.timedOut
      ? `a tiny guest that needs 0.1 s was not done after ${timeoutMs / 1000} s`
      : `a tiny guest did not run: ${said || `QEMU ended with ${result.exitCode ?? 'a signal'}`}`;
    failure = { why, timedOut: result.timedOut };
    if (!result.timedOut) break;
  }
  return failure;
}

/** Whether this is how the tiny guest ends, and no other program does. */
export const isProbeRun = ({
  exitCode,
  standardOutput,
}: Pick<ToolResult, 'exitCode' | 'standardOutput'>): boolean =>
  exitCode === PROBE_EXIT_STATUS && standardOutput.startsWith(PROBE_OUTPUT);

/**
 * The tiny guest as a file in the directory, for everybody to read.
 * @param seenAs the path of that file as QEMU sees it
 */
export async function probeMachine(
  accelerator: 'kvm' | 'tcg',
  directory: string,
  seenAs: string,
): Promise<{ path: string; args: string[] }> {
  const path = await writeProbe(directory);
  await chmod(path, 0o444);
  return { path, args: probeArguments(accelerator, seenAs) };
}

function probeArguments(accelerator: 'kvm' | 'tcg', probePath: string): string[] {
  return [
    ...['-M', 'microvm,acpi=off,isa-serial=off', '-accel', accelerator, '-cpu', 'max', '-m', '16'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-bios', probePath],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
    ...['-chardev', 'stdio,id=said,signal=off', '-device', 'isa-debugcon,iobase=0xe9,chardev=said'],
  ];
}

async function writeProbe(directory: string): Promise<string> {
  const probe = gunzipSync(Buffer.from(PROBE_GZIP_BASE64, 'base64'));
  if (createHash('sha256').update(probe).digest('hex') !== PROBE_SHA256) {
    throw new AgentError('driver_unavailable', 'The KVM probe in this program is damaged.');
  }
  const path = join(directory, `kvm-probe-${PROBE_SHA256.slice(0, 8)}.bin`);
  await writeAtomically(path, probe);
  return path;
}

function readFound(value: unknown): Acceleration | undefined {
  const { accelerator, whyNotKvm } = (value ?? {}) as {
    accelerator?: unknown;
    whyNotKvm?: unknown;
  };
  if (accelerator === 'kvm') return { accelerator };
  return accelerator === 'tcg' && typeof whyNotKvm === 'string'
    ? { accelerator, whyNotKvm }
    : undefined;
}
