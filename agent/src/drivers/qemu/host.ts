/** What a machine needs to know of its host, found out by trying. */
import { stat } from 'node:fs/promises';
import { AgentError } from '../../errors.ts';
import { probeAcceleration, type Acceleration } from '../../host/kvm-probe.ts';
import { SANDBOX_USERS } from '../../host/sandbox-user.ts';
import { findTool, runTool } from '../../host/short-tool.ts';
import type { QemuDriverConfig } from './config.ts';
import { findConfinement, type Confinement } from './confinement.ts';
import { hostTscKhz, type Machine } from './machine.ts';

const VERSION_TIMEOUT_MS = 5_000;
/** Program, and the Debian package it comes from. */
const TOOLS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  setpriv: 'util-linux',
  mke2fs: 'e2fsprogs',
} as const;

export type Host = {
  qemuPath: string;
  /** Which QEMU: its version, and the file it is. */
  qemuBuild: readonly unknown[];
  note: string;
  confinement: Confinement;
} & Pick<Machine, 'acceleration'>;

export async function findHost(config: QemuDriverConfig): Promise<Host> {
  const { cacheDirectory, hostMarker, settings = {}, users = SANDBOX_USERS } = config;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new AgentError(
      'driver_unavailable',
      `The guest image is for x86-64 machines; this is ${process.platform} on ${process.arch}.`,
    );
  }
  const names = Object.keys(TOOLS) as (keyof typeof TOOLS)[];
  const paths = await Promise.all(names.map(findTool));
  const missing = names.filter((_, index) => paths[index] === undefined);
  const qemuPath = paths[names.indexOf('qemu-system-x86_64')];
  if (missing.length > 0 || qemuPath === undefined) {
    throw new AgentError(
      'tool_missing',
      `Not installed: ${missing.join(', ')}. Install with: apt-get install ${missing.map((name) => TOOLS[name]).join(' ')}`,
    );
  }
  const qemuVersion = await readVersion(qemuPath);
  const found = await probeAcceleration({ qemuPath, qemuVersion, cacheDirectory });
  const acceleration: Machine['acceleration'] =
    found.accelerator === 'kvm'
      ? { accelerator: 'kvm' }
      : { accelerator: 'tcg', tscKhz: await hostTscKhz() };
  const { accelerator } = found;
  const trial = { qemuPath, qemuVersion, accelerator, cacheDirectory, hostMarker, users };
  const confinement = await findConfinement(trial, settings);
  const note = `${noteOn(qemuVersion, found)}; ${confinement.note}`;
  const { size, mtimeMs } = await stat(qemuPath);
  const qemuBuild = [qemuVersion, qemuPath, size, mtimeMs];
  return { qemuPath, qemuBuild, acceleration, confinement, note };
}

async function readVersion(qemuPath: string): Promise<string> {
  const result = await runTool(qemuPath, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(result.standardOutput)?.[1];
  if (version !== undefined) return version;
  throw new AgentError(
    'driver_unavailable',
    `${qemuPath} does not start: ${result.standardError.trim() || 'it names no version'}. Install it again: apt-get install --reinstall qemu-system-x86`,
  );
}

function noteOn(qemuVersion: string, found: Acceleration): string {
  if (found.accelerator === 'kvm') return `QEMU ${qemuVersion}, KVM`;
  return `QEMU ${qemuVersion}, TCG: emulated, programs run about 3 to 14 times slower (no KVM: ${found.whyNotKvm})`;
}
