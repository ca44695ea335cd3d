import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ProveError } from './errors.ts';
import type { JobWatcher, Lab, ProbeJob } from './lab.ts';
import { checkOnly, prove, type Proof } from './proof.ts';

const dataDirectory = mkdtempSync(join(tmpdir(), 'onejob-test-proof-'));
after(() => rmSync(dataDirectory, { recursive: true }));
const SANDBOX = 'sb0123456789abcdef';
const OWN_BOOT = '00000000-0000-4000-8000-000000000000';

type Listed = { id: string; probe: { script?: string } };

/** A lab whose sandboxes see what they are told to, and print what scripts print. */
class ScriptedLab implements Lab {
  readonly dataDirectory = dataDirectory;
  readonly cacheDirectory = undefined;
  engineDirectory: string | undefined = undefined;
  readonly jobs: ProbeJob[] = [];
  readonly #seen: (id: string, job: ProbeJob) => string | undefined;
  readonly #whileRunning: () => Promise<void>;

  constructor(
    seen: (id: string, job: ProbeJob) => string | undefined,
    whileRunning = async () => await Promise.resolve(),
  ) {
    this.#seen = seen;
    this.#whileRunning = whileRunning;
  }

  async run(job: ProbeJob, watcher: JobWatcher = {}) {
    this.jobs.push(job);
    const over = new AbortController();
    const watching = watcher.running?.(SANDBOX, over.signal);
    await this.#whileRunning();
    over.abort();
    await watching;
    const probes = JSON.parse(job.files['prove/probes.json'] ?? '[]') as Listed[];
    const lines = probes.flatMap(({ id }) => {
      const seen = this.#seen(id, job);
      return seen === undefined ? [] : [`onejob-prove ${JSON.stringify({ id, seen, said: '' })}`];
    });
    return {
      sandboxId: SANDBOX,
      driver: job.driver,
      driverNote: 'a note',
      lines,
      ended: 'success',
    };
  }
}

const proveWith = async (lab: Lab, ...only: string[]): Promise<Proof> =>
  await proveDriver('qemu', lab, only);

const proveDriver = async (driver: string, lab: Lab, only: readonly string[]): Promise<Proof> =>
  await prove({
    ...{ driver, network: 'link' },
    only,
    lab,
    openObeying: async () => await Promise.reject(new Error('no machine is booted here')),
    scene: undefined,
    notIsolated: 'that needs root',
    say: () => {},
  });

const verdicts = (proof: Proof): Record<string, string> =>
  Object.fromEntries(proof.findings.map(({ id, verdict }) => [id, verdict]));

test('the sandbox is of the driver under proof, the control of the driver process', async () => {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const lab = new ScriptedLab((_, { driver }) => (driver === 'qemu' ? OWN_BOOT : boot));
  assert.deepEqual(verdicts(await proveWith(lab, 'boot-id')), { 'boot-id': 'held' });
  assert.deepEqual(
    lab.jobs.map(({ driver }) => driver),
    ['qemu', 'process'],
  );
});

test('an attack that gets through on both sides is broken, one that does on none does not count', async () => {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const open = await proveWith(new ScriptedLab(() => boot), 'boot-id');
  assert.deepEqual(verdicts(open), { 'boot-id': 'broken' });
  const closed = await proveWith(new ScriptedLab(() => OWN_BOOT), 'boot-id');
  assert.deepEqual(verdicts(closed), { 'boot-id': 'not counted' });
});

test('a probe that says nothing was not tried, with the end of its job', async () => {
  const { findings } = await proveWith(new ScriptedLab(() => undefined), 'boot-id');
  assert.equal(findings[0]?.verdict, 'not tried');
  assert.match(findings[0].observed, /success/);
});

test('without a host of its own nothing is tried that could change one, and each says why', async () => {
  const lab = new ScriptedLab(() => '');
  const { findings } = await proveWith(lab, 'file-write', 'set-hostname', 'left-tmp', 'network');
  for (const { id, verdict, observed } of findings) {
    assert.equal(`${verdict}: ${observed}`, 'not tried: that needs root', id);
  }
  const ids = lab.jobs.flatMap(({ files }) =>
    (JSON.parse(files['prove/probes.json'] ?? '[]') as Listed[]).map(({ id }) => id),
  );
  for (const id of ['file-write', 'set-hostname', 'left-tmp', 'metadata-aws']) {
    assert.ok(!ids.includes(id), id);
  }
});

test('where the host has no address for a sandbox nobody is said to have been kept from it', async () => {
  const only = ['neighbour-namespace', 'neighbour-ping-host-end-6'];
  const { findings } = await proveWith(new ScriptedLab(() => ''), ...only);
  for (const { id, verdict, observed } of findings) {
    assert.equal(verdict, 'not tried', id);
    assert.match(observed, /network mode link/);
  }
});

test('the secret is one in the sandbox, an ordinary variable in the control, and nobody has it next', async () => {
  const lab = new ScriptedLab((id) => (id === 'memory-of-ended' ? '616263' : ''));
  await proveWith(lab, 'log-plain', 'memory-of-ended');
  const kinds = lab.jobs.map(({ driver, secrets, vars }) => [
    driver,
    'PROVE_SECRET' in secrets,
    'PROVE_SECRET' in vars,
  ]);
  assert.deepEqual(kinds, [
    ['qemu', true, false],
    ['qemu', false, false],
    ['process', false, true],
  ]);
});

test('what was taken from a job is used in it, and in the next one', async () => {
  const seen = (id: string): string => {
    if (id === 'token-caches') return '7365637265740a';
    return id === 'token-caches-own' ? 'status 204' : 'status 401';
  };
  const lab = new ScriptedLab(seen);
  assert.deepEqual(verdicts(await proveWith(lab, 'token-caches')), { 'token-caches': 'held' });
  assert.match(lab.jobs[1]?.files['prove/probes.json'] ?? '', /HEX=7365637265740a;/);
  const open = await proveWith(
    new ScriptedLab((id) => (id === 'token-caches' ? '00' : 'status 200')),
    'token-caches',
  );
  assert.deepEqual(verdicts(open), { 'token-caches': 'broken' });
});

test('what a first job reports is hexadecimal digits to the next, whatever it says', async () => {
  const lab = new ScriptedLab(() => '61; reboot; $(x) 62');
  await proveWith(lab, 'token-caches');
  assert.match(lab.jobs[1]?.files['prove/probes.json'] ?? '', /HEX=61eb62;|HEX=61eb62/);
});

test('remains are looked for while the sandbox runs, and found afterwards where they stay', async () => {
  const journal = join(dataDirectory, 'agent', 'journals', `${SANDBOX}.jsonl`);
  mkdirSync(join(dataDirectory, 'agent', 'journals'), { recursive: true });
  writeFileSync(journal, '');
  const buried = await proveWith(
    new ScriptedLab(
      () => '',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        rmSync(journal, { force: true });
      },
    ),
    'remains-journal',
    'remains-directory',
  );
  assert.deepEqual(verdicts(buried), {
    'remains-directory': 'not counted',
    'remains-journal': 'held',
  });
  writeFileSync(journal, '');
  const left = await proveWith(new ScriptedLab(() => ''), 'remains-journal');
  assert.deepEqual(verdicts(left), { 'remains-journal': 'broken' });
});

test("what the host's own engine keeps is not looked into, and so nothing of it is held", async () => {
  const lab = new ScriptedLab(() => '');
  const { findings } = await proveDriver('docker', lab, ['remains-content', 'remains-container']);
  for (const { id, verdict, observed } of findings) {
    assert.equal(verdict, 'not tried', id);
    assert.match(observed, /the host's own engine keeps .*that needs root/);
  }
  lab.engineDirectory = join(dataDirectory, 'engine');
  const own = await proveDriver('docker', lab, ['remains-content', 'remains-container']);
  assert.deepEqual(verdicts(own), {
    // Its job did not say that it wrote: there was nothing to look for.
    'remains-content': 'not tried',
    'remains-container': 'not counted',
  });
});

test('what an agent of the host tries in no sandbox is told apart, in each finding and in a note', async () => {
  const { findings, notes } = await proveWith(
    new ScriptedLab(() => ''),
    'lease-adoption',
    'boot-id',
  );
  assert.deepEqual(
    findings.map(({ id, subject }) => [id, subject]),
    [
      ['boot-id', 'sandbox'],
      ['lease-adoption', 'platform'],
    ],
  );
  assert.match(findings[1]?.title ?? '', /by an agent of the host and in no sandbox/);
  assert.match(notes.join(), /1 attacks \(lease-\*\).*say nothing of the driver/);
  const without = await proveWith(new ScriptedLab(() => ''), 'boot-id');
  assert.deepEqual(without.notes, []);
});

test('a word that is no attack and no class is refused by name', () => {
  checkOnly([]);
  checkOnly(['escape', 'boot-id']);
  assert.throws(
    () => checkOnly(['escape', 'burglary']),
    (error: ProveError) => {
      assert.equal(error.code, 'unknown_attack');
      assert.match(error.message, /burglary/);
      return true;
    },
  );
});
