/** A part of the host for one test: network and mount namespaces that nobody else sees, a state directory. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReapEntry } from '../src/sandbox/reaper.ts';

const REAP_ONCE = join(import.meta.dirname, '_reap-once.ts');

export class HostLab implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'oj-reap-'));
  readonly hostMarker = `test-${randomBytes(8).toString('hex')}`;
  readonly sandboxes = join(this.root, 'sandboxes');
  readonly cache = join(this.root, 'cache');
  readonly hasNft: boolean;
  readonly #holder: ChildProcess;

  constructor() {
    for (const path of [this.sandboxes, join(this.root, 'journals')]) mkdirSync(path);
    const hold = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && echo ready && exec sleep 600';
    const words = ['--pdeathsig', 'KILL', '--', 'unshare', '--net', '--mount', 'sh', '-c', hold];
    this.#holder = spawn('setpriv', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    for (const deadline = Date.now() + 10_000; !this.#isReady();) {
      if (Date.now() < deadline) continue;
      this.#holder.kill();
      assert.fail('no namespaces');
    }
    this.hasNft = spawnSync('nsenter', [...this.#inside(), 'nft', 'list', 'tables']).status === 0;
  }

  #isReady(): boolean {
    return (
      this.#holder.pid !== undefined && this.tryTo('test', '-d', '/run/netns') && this.isApart()
    );
  }

  isApart(): boolean {
    const net = (pid: string): string =>
      spawnSync('readlink', [`/proc/${pid}/ns/net`]).stdout.toString();
    const mnt = (pid: string): string =>
      spawnSync('readlink', [`/proc/${pid}/ns/mnt`]).stdout.toString();
    const pid = String(this.#holder.pid);
    const ready = spawnSync('nsenter', ['-t', pid, '-m', 'findmnt', '-n', '-t', 'tmpfs', '/run']);
    return net(pid) !== net('self') && mnt(pid) !== mnt('self') && ready.status === 0;
  }

  #inside(): string[] {
    return ['-t', String(this.#holder.pid), '-n', '-m', '--'];
  }

  tryTo(...command: string[]): boolean {
    return spawnSync('nsenter', [...this.#inside(), ...command]).status === 0;
  }

  run(...command: string[]): string {
    return execFileSync('nsenter', [...this.#inside(), ...command], { encoding: 'utf8' });
  }

  /** A process in it that outlives its maker's interest. */
  start(...command: string[]): ChildProcess {
    return spawn('nsenter', [...this.#inside(), ...command], {
      stdio: 'ignore',
      env: { PATH: process.env['PATH'] },
    });
  }

  reap(alive: readonly string[], laterMs = 0): { entries: ReapEntry[]; failed: string[] } {
    const options = {
      hostMarker: this.hostMarker,
      sandboxesDirectory: this.sandboxes,
      journalsDirectory: join(this.root, 'journals'),
      cacheDirectory: this.cache,
      alive,
      nowMs: Date.now() + laterMs,
    };
    const words = [process.execPath, REAP_ONCE, JSON.stringify(options)];
    return JSON.parse(this.run(...words)) as { entries: ReapEntry[]; failed: string[] };
  }

  /** Everything that this test makes, as the host lists it. */
  inventory(): string[] {
    const links = this.run('ip', '-o', 'link').matchAll(/^\d+: ([^:@]+)/gm);
    const rules = this.hasNft ? this.run('nft', 'list', 'tables').split('\n') : [];
    const mounts = this.run('cat', '/proc/self/mountinfo')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '');
    return [
      ...[...links].map(([, name]) => `link ${name}`),
      ...rules.filter((line) => line !== ''),
      ...this.run('ls', '/run/netns')
        .split('\n')
        .filter(Boolean)
        .map((name) => `netns ${name}`),
      ...mounts.filter((path) => path.startsWith(this.root)).map((path) => `mount ${path}`),
    ].toSorted();
  }

  [Symbol.dispose](): void {
    this.#holder.kill('SIGKILL');
    rmSync(this.root, { recursive: true, force: true });
  }
}
