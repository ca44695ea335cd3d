/**
 * A host for sandboxes in tests: a directory, a marker, journals, and a look for what is left. The
 * far side is always the real guest runner, spoken to over the real link.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  newJobId,
  newRunId,
  newSandboxId,
  type FinishedMessage,
  type GuestHello,
  type JobTask,
  type RepositoryName,
  type RunStep,
  type SandboxId,
} from '@onejob/protocol';
import { cgroupPaths, findCgroups, type Cgroups } from '../src/host/cgroup.ts';
import { listSandboxProcesses, type HostProcess } from '../src/host/processes.ts';
import { listUserClaims } from '../src/host/sandbox-user.ts';
import { GuestLink } from '../src/link/guest-link.ts';
import type { MachineImage, ProvisionRequest, SandboxHandle } from '../src/sandbox/driver.ts';
import { Journal, type Acquisition } from '../src/sandbox/journal.ts';
import { ProvisionStack, type Undo } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';

const MiB = 1024 * 1024;
/** Sockets and processes of this test are closed by the event loop some turns after they end. */
const SETTLE_MS = 5_000;

export type LabSandbox = {
  sandboxId: SandboxId;
  directory: string;
  stack: ProvisionStack;
  request: ProvisionRequest;
};

export class SandboxLab implements AsyncDisposable {
  readonly hostMarker = `test-${randomBytes(8).toString('hex')}`;
  readonly undo: Undo = undoOn(this.hostMarker);
  readonly root: string;
  readonly #image: MachineImage | null;
  readonly #guestRunnerPath: string;
  #resources: string[] = [];
  readonly #cgroups: Cgroups | undefined;
  readonly #sandboxIds: SandboxId[] = [];

  private constructor(
    root: string,
    image: MachineImage | null,
    guestRunnerPath: string,
    cgroups: Cgroups | undefined,
  ) {
    this.root = root;
    this.#cgroups = cgroups;
    this.#image = image;
    this.#guestRunnerPath = guestRunnerPath;
  }

  static async open(image: MachineImage | null, guestRunnerPath: string): Promise<SandboxLab> {
    const root = await mkdtemp(join(tmpdir(), 'onejob-lab-'));
    const found = await findCgroups();
    return new SandboxLab(root, image, guestRunnerPath, 'version' in found ? found : undefined);
  }

  /** A sandbox's directory and stack, as the agent makes them. `stack` may be another kind. */
  async newSandbox(
    changes: Partial<ProvisionRequest> = {},
    newStack = (journal: Journal, undo: Undo): ProvisionStack => new ProvisionStack(journal, undo),
  ): Promise<LabSandbox> {
    this.#resources = openResources();
    const sandboxId = newSandboxId();
    this.#sandboxIds.push(sandboxId);
    const directory = join(this.root, sandboxId);
    const stack = newStack(new Journal(join(this.root, 'journal'), sandboxId), this.undo);
    mkdirSync(directory, { mode: 0o700 });
    const request: ProvisionRequest = {
      sandboxId,
      directory,
      origin: { tenant: 'trusted', isFromElsewhere: false },
      shape: { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 512 * MiB },
      image: this.#image,
      guestRunnerPath: this.#guestRunnerPath,
      signal: new AbortController().signal,
      ...changes,
    };
    return { sandboxId, directory, stack, request };
  }

  /** Buries it as the agent does, and asserts that the host is as it was before. */
  async bury(sandbox: LabSandbox): Promise<void> {
    await sandbox.stack.bury();
    await this.undo({ kind: 'directory', path: sandbox.directory });
    sandbox.stack.journal.close();
    await this.assertNothingLeft();
  }

  async assertNothingLeft(): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const left = await this.#leftovers();
      if (left.length === 0) return;
      if (performance.now() > deadline) assert.deepEqual(left, [], 'left on the host');
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { environment } of await listSandboxProcesses(this.hostMarker)) {
      const sandboxId = environment.get('ONEJOB_SANDBOX') as SandboxId;
      await this.undo({ kind: 'process', role: 'left over', sandboxId });
    }
    for (const { uid, sandboxId } of await listUserClaims(this.hostMarker)) {
      await this.undo({ kind: 'user', sandboxId: sandboxId as SandboxId, uid });
    }
    for (const sandboxId of this.#sandboxIds) await this.#removeGroups(sandboxId);
    await rm(this.root, { recursive: true, force: true });
  }

  /** Of a sandbox that a failed test did not bury. */
  async #removeGroups(sandboxId: SandboxId): Promise<void> {
    if (this.#cgroups === undefined) return;
    const paths = cgroupPaths(this.#cgroups, sandboxId);
    await this.undo({ kind: 'cgroup', sandboxId, paths });
  }

  async #leftovers(): Promise<string[]> {
    const files = readdirSync(this.root, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path !== 'journal',
    );
    const processes = await listSandboxProcesses(this.hostMarker);
    const marked = processes.map(({ pid }) => `process ${pid}`);
    const users = (await listUserClaims(this.hostMarker)).map(({ uid }) => `user ${uid}`);
    const sockets = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.root));
    const resources = [...openResources()];
    for (const known of this.#resources) {
      const at = resources.indexOf(known);
      if (at >= 0) resources.splice(at, 1);
    }
    return [
      ...files,
      ...this.#groups(),
      ...marked,
      ...this.#strangers(),
      ...users,
      ...sockets,
      ...resources,
    ];
  }

  #groups(): string[] {
    const cgroups = this.#cgroups;
    if (cgroups === undefined) return [];
    return this.#sandboxIds.flatMap((id) => cgroupPaths(cgroups, id)).filter(existsSync);
  }

  /** Processes without our marker that have to do with our directory all the same. */
  #strangers(): string[] {
    return readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const place = readlinkSync(`/proc/${pid}/cwd`);
        return args.includes(this.root) || place.startsWith(this.root) ? [`${pid} ${args}`] : [];
      } catch {
        return []; // ended meanwhile
      }
    });
  }
}

/** What this process holds open that a sandbox could have left in it. */
const openResources = (): string[] =>
  process.getActiveResourcesInfo().filter((kind) => /Pipe|Socket|Server|ProcessWrap/.test(kind));

/** A stack whose nth acquisition fails: before the thing is there, or just after. */
export class FailingStack extends ProvisionStack {
  readonly #failing: number;
  readonly #moment: 'before' | 'after';
  count = 0;

  constructor(journal: Journal, undo: Undo, failing: number, moment: 'before' | 'after') {
    super(journal, undo);
    this.#failing = failing;
    this.#moment = moment;
  }

  override async acquire<T>(acquisition: Acquisition, make: () => T | Promise<T>): Promise<T> {
    const fails = ++this.count === this.#failing;
    return await super.acquire(acquisition, async () => {
      if (fails && this.#moment === 'before') throw new Error(`acquisition ${this.count} failed`);
      const made = await make();
      if (!fails) return made;
      // Nobody was handed it, so nobody else can close what this process holds of it.
      if (isDisposable(made)) await made[Symbol.asyncDispose]();
      throw new Error(`acquisition ${this.count} failed`);
    });
  }
}

const isDisposable = (value: unknown): value is AsyncDisposable =>
  typeof value === 'object' && value !== null && Symbol.asyncDispose in value;

/** QEMU itself, among the processes of the one machine of this lab: who waits for it is another. */
export async function findQemu(hostMarker: string): Promise<HostProcess> {
  const found = (await listSandboxProcesses(hostMarker)).filter(({ pid }) =>
    readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu-system'),
  );
  assert.equal(found.length, 1, 'one QEMU a machine');
  return found[0] as HostProcess;
}

export type Conversation = {
  hello: GuestHello | undefined;
  /** Text of all log rows. */
  log: string;
  finished: FinishedMessage | undefined;
  violation: string | undefined;
  /**
   * What it asked the guard for, which lets nothing through: `GET name`, `CONNECT host:port`. How often is
   * the C library's to say: its two questions of one name, for each kind of address, may meet or not.
   */
  asked: Set<string>;
};

/** Plays the agent's part on a booted sandbox: hello, one job of one script, its log, its end. */
export async function runScript(handle: SandboxHandle, script: string): Promise<Conversation> {
  const seen: Conversation = {
    hello: undefined,
    log: '',
    finished: undefined,
    violation: undefined,
    asked: new Set(),
  };
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const link = new GuestLink(handle.carriers, {
    hello: (hello) => {
      seen.hello = hello;
      return {
        sandboxId: 'sb-of-a-test',
        hostname: 'contract',
        machineId: randomBytes(16).toString('hex'),
        entropy: randomBytes(64).toString('hex'),
        clockUnixMs: Date.now(),
        network: 'link',
        steered: handle.steered,
        actions: { builtin: 'fallback', mirrored: false, serverUrl: '' },
      };
    },
    message: (message) => {
      if (message.type === 'finished') seen.finished = message;
    },
    log: (message, acknowledge) => {
      if ('total' in message) return acknowledge({ ack: message.total });
      seen.log += message.rows.map((row) => `${row.text}\n`).join('');
      acknowledge({ ack: message.offset + message.rows.length });
    },
    connect: (stream, authority) => {
      seen.asked.add(`CONNECT ${authority}`);
      stream.respond({ ':status': 403 }, { endStream: true });
    },
    action: (stream) => stream.close(),
    results: (stream) => stream.close(),
    name: (stream, name) => {
      seen.asked.add(`GET ${name}`);
      stream.respond({ ':status': name.endsWith('.example') ? 200 : 404 }, { endStream: true });
    },
    source: (stream) => {
      stream.respond({ ':status': 404 }, { endStream: true });
    },
    violation: (error) => {
      seen.violation = error.message;
      end();
    },
    closed: () => end(),
  });
  void handle.ended.then(() => end());
  await Promise.race([link.ready, over]);
  link.sendTask(Buffer.from(JSON.stringify(taskOf(script))));
  await over;
  link.close();
  return seen;
}

/** A job of one `run:` step. */
function taskOf(script: string): JobTask {
  const at = { line: 1, column: 1 };
  const step: RunStep = {
    kind: 'run',
    index: 0,
    id: '__run',
    name: null,
    at,
    condition: { kind: 'literal', value: true },
    env: null,
    continueOnError: null,
    timeoutMinutes: null,
    script,
    shell: null,
    workingDirectory: null,
  };
  return {
    version: 1,
    jobId: newJobId(Date.now()),
    runId: newRunId(Date.now()),
    attempt: 1,
    job: {
      version: 1,
      file: '.github/workflows/contract.yml',
      key: 'contract',
      name: 'contract',
      steps: [step],
      env: [],
      defaults: { shell: null, workingDirectory: null },
      outputs: null,
      permissions: {},
      environment: null,
      timeoutMinutes: null,
      continueOnError: null,
      container: null,
      services: null,
    },
    contexts: {
      github: { repository: 'test/contract', event_name: 'push', event: {} },
      needs: {},
      strategy: {},
      job: {},
      matrix: null,
      vars: {},
      inputs: {},
    },
    env: {},
    secrets: {},
    token: 'no-token-needed',
    source: { repository: 'test/contract' as RepositoryName, sha: '0'.repeat(40), ref: 'main' },
    results: null,
    jobTimeoutMs: 120_000,
  };
}
