/**
 * A job that does nothing, from hello to its end, some times over, played by this very runner with itself as host:
 * whatever a job needs of the runner, of its shell and of the kernel is then in memory, and is in the
 * memory of every machine that is restored from a snapshot taken afterwards.
 *
 * Promise: nothing of it is left but what is in memory: no file, process, socket or listener. It
 * belongs to nobody: its names are constants, and it asks no random source.
 */
import { readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http2';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SecretMasker } from '@onejob/masking';
import type {
  GuestMessage,
  HostHello,
  JobId,
  JobTask,
  LogMessage,
  RunId,
  RunStep,
} from '@onejob/protocol';
import { LINK_MESSAGE_BYTES } from '@onejob/protocol/limits';
import type { GuestConfig } from '../config/config.ts';
import { GuestError } from '../errors.ts';
import { runGuest } from '../guest.ts';
import { registerSecrets } from '../job/run-job.ts';
import { jsonLine, readJsonLines } from '../link/json-lines.ts';
import { GUEST_PATHS } from '../link/names.ts';
import { REHEARSAL_MS } from '../limits.ts';
import { writeBack } from '../steps/write-back.ts';

const NAME = 'rehearsal';
/** As long as the one that jobs have, which is a JSON Web Token. */
const RUNTIME_TOKEN = `runtime-token-of-${NAME}`.repeat(20);
/**
 * Until what hides secrets has been compiled, the slowest of what a job runs. The rest is run once: with
 * more of it compiled a machine that waits takes a fifth more memory, and its job begins no sooner.
 */
const MASKED_JOBS = 24;
/** What the first leaves to finalizers, the next ones take. */
const COLLECTIONS = 3;

const HELLO: HostHello = {
  sandboxId: NAME,
  hostname: NAME,
  machineId: '',
  entropy: '',
  clockUnixMs: 0,
  network: 'link',
  steered: false,
  actions: { builtin: 'fallback', mirrored: false, serverUrl: '' },
};

const STEP: RunStep = {
  kind: 'run',
  index: 0,
  id: '__run',
  name: null,
  at: { line: 1, column: 1 },
  condition: { kind: 'literal', value: true },
  env: null,
  continueOnError: null,
  timeoutMinutes: null,
  script: 'echo',
  shell: null,
  workingDirectory: null,
};

const TASK: JobTask = {
  version: 1,
  jobId: NAME as JobId,
  runId: NAME as RunId,
  attempt: 1,
  job: {
    version: 1,
    file: NAME,
    key: NAME,
    name: NAME,
    steps: [STEP],
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
    github: { repository: `${NAME}/${NAME}`, event_name: 'push', event: {} },
    needs: {},
    strategy: {},
    job: {},
    matrix: null,
    vars: {},
    inputs: {},
  },
  env: {},
  secrets: { REHEARSAL: `a secret of ${NAME}\nin two lines` },
  token: `token-of-${NAME}-0123456789`,
  source: null,
  results: { token: RUNTIME_TOKEN, cacheMode: 'none' },
  jobTimeoutMs: REHEARSAL_MS,
};

/** @throws GuestError `rehearsal`: this machine does not run a job that does nothing */
export async function rehearse(config: GuestConfig): Promise<void> {
  const before = new Set(readdirSync(config.workDirectory));
  try {
    await rehearseJob(config);
  } finally {
    for (const name of readdirSync(config.workDirectory)) {
      if (before.has(name)) continue;
      rmSync(join(config.workDirectory, name), { recursive: true, force: true });
    }
  }
  for (let job = 0; job < MASKED_JOBS; job++) registerSecrets(new SecretMasker(), TASK);
  await writeBack(config.environment);
  collectGarbage();
}

/** In the directory of jobs: a file system finds room for `_temp` and its like by their names. */
async function rehearseJob(config: GuestConfig): Promise<void> {
  const host = new RehearsalHost();
  try {
    const path = await host.listen(join(config.workDirectory, 'rehearsal.sock'));
    const carrier = { kind: 'unix', controlSocketPath: path, bulkSocketPath: path } as const;
    await runGuest({ ...config, carrier, preparedPipes: null });
  } finally {
    await host.close();
  }
  if (host.conclusion !== 'success') {
    throw new GuestError('rehearsal', `the rehearsal of a job ended '${host.conclusion}'`);
  }
}

/**
 * Else every restored machine does it some seconds after its start, while it waits for a job: time of
 * its host, and memory that it then shares with no other.
 */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let times = 0; times < COLLECTIONS; times++) collect();
}

/** The agent's part, as little of it as one job without a need takes. */
class RehearsalHost {
  conclusion = 'unfinished';
  private readonly server: Http2Server = createServer();

  async listen(path: string): Promise<string> {
    this.server.on('sessionError', () => {});
    this.server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      this.answer(stream, headers[':path'] ?? '');
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.server.once('error', reject).listen(path, resolve);
    await promise;
    return path;
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.server.close(() => resolve());
    await promise;
  }

  private answer(stream: ServerHttp2Stream, path: string): void {
    stream.respond({ ':status': 200 });
    if (path === GUEST_PATHS.hello) stream.end(jsonLine(HELLO));
    else if (path === GUEST_PATHS.control) {
      read(stream, (one) => {
        const message = one as GuestMessage;
        if (message.type === 'ready') stream.write(jsonLine({ type: 'job', task: TASK }));
        if (message.type !== 'finished') return;
        this.conclusion = message.conclusion;
        stream.end();
      });
    } else if (path === GUEST_PATHS.logs) {
      read(stream, (one) => {
        const message = one as LogMessage;
        const ack = 'total' in message ? message.total : message.offset + message.rows.length;
        stream.write(jsonLine({ ack }));
        if ('total' in message) stream.end();
      });
    } else stream.end();
  }
}

function read(stream: ServerHttp2Stream, take: (message: unknown) => void): void {
  readJsonLines(stream, LINK_MESSAGE_BYTES, take, () => stream.destroy());
}
