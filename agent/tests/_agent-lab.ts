/** A real agent with the process driver and a scripted guest, against the fake control plane. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentConfig } from '../src/config/config.ts';
import { startAgent, type Agent } from '../src/agent.ts';
import { FakeControlPlane, type FakeJob } from './_fake-control-plane.ts';
import { filesBelow } from './_leaks.ts';

const SCRIPTED_GUEST = fileURLToPath(new URL('_scripted-guest.mjs', import.meta.url));
const PATIENCE_MS = 30_000;

export async function until(what: string, holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !holds(); await sleep(5)) {
    assert.ok(performance.now() < deadline, `waited in vain until ${what}`);
  }
}

export class AgentLab implements AsyncDisposable {
  readonly root: string;
  readonly controlPlane: FakeControlPlane;
  readonly warnings: string[] = [];
  readonly lines: string[] = [];
  #agents: Agent[] = [];

  private constructor(root: string) {
    this.root = root;
    this.controlPlane = new FakeControlPlane(join(root, 'cp.sock'));
  }

  static async open(): Promise<AgentLab> {
    return new AgentLab(await mkdtemp(join(tmpdir(), 'oj-')));
  }

  async agent(changes: Partial<AgentConfig> = {}): Promise<Agent> {
    const agent = await startAgent({
      stateDirectory: join(this.root, 'state'),
      cacheDirectory: join(this.root, 'cache'),
      controlPlaneSocketPath: this.controlPlane.path,
      guestRunnerPath: SCRIPTED_GUEST,
      image: async () => await Promise.reject(new Error('the process driver needs no image')),
      drivers: ['process'],
      process: { trustedTenants: ['trusted'], user: 'agent' },
      slots: 4,
      onJournalLine: (line) => this.lines.push(line.entry),
      warn: (message) => this.warnings.push(message),
      ...changes,
    });
    this.#agents.push(agent);
    return agent;
  }

  /** Waits for the job's end as the control plane was told it. */
  async ended(job: FakeJob): Promise<{ reason: string; message: string }> {
    await until('the job is finished', () => job.finished !== undefined);
    return job.finished ?? { reason: '', message: '' };
  }

  /** Files of sandboxes and journals that are there now. */
  left(): string[] {
    return ['state/sandboxes', 'state/journals'].flatMap((name) =>
      filesBelow(join(this.root, name)),
    );
  }

  async nothingLeft(): Promise<void> {
    await until(`nothing is left (${this.left().join(', ')})`, () => this.left().length === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) await agent[Symbol.asyncDispose]();
    await this.controlPlane.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}
