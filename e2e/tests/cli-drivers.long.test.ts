/** Whole runs by the drivers that boot the guest image without a machine monitor. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, describe, test, type TestContext } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { startTestEngine, whyNoEngine } from '@onejob/testing/container-engine';
import { CommandLine, jsonLines } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `on: push
jobs:
  make:
    runs-on: ubuntu-latest
    outputs: { kernel: '\${{ steps.k.outputs.kernel }}' }
    steps:
      - uses: actions/checkout@v4
      - run: cat note.txt; echo; dmesg 2>&1 | head -1; npm --version
      - id: k
        run: echo "kernel=$(uname -r)" >> "$GITHUB_OUTPUT"
      - uses: actions/upload-artifact@v4
        with: { path: note.txt }
  take:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v4
        with: { name: artifact }
      - run: echo "taken $(cat note.txt) of \${{ needs.make.outputs.kernel }}"
  refused:
    runs-on: ubuntu-latest
    steps: [{ run: 'curl --silent --show-error --max-time 20 http://10.0.0.1/ 2>&1; true' }]
`,
  'note.txt': 'from the checkout',
});
after(async () => await checkout[Symbol.asyncDispose]());

/** Where the agent looks for runsc: never in a PATH. */
const RUNSC = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

function whyNoGvisor(): string | undefined {
  if (process.getuid?.() !== 0) return 'gVisor takes root here';
  if (RUNSC.some((directory) => existsSync(`${directory}/runsc`))) return undefined;
  return 'not installed: runsc (apt-get install runsc)';
}

async function runAll(
  context: TestContext,
  driver: string,
  environment: (line: CommandLine) => Record<string, string>,
): Promise<{ make: string; refused: string }> {
  const line = await CommandLine.prepared();
  context.after(async () => await line[Symbol.asyncDispose]());
  const place = { directory: checkout.directory, environment: environment(line) };
  const ran = await line.run(['run', '--driver', driver, '--json'], place);
  const lines = jsonLines<{ type: string; runs: Run[] }>(ran.stdout);
  const jobs = lines.at(-1)?.runs[0]?.jobs ?? [];
  assert.equal(ran.code, 0, jobs.map((job) => job.endMessage).join() + ran.stderr);
  assert.deepEqual(
    jobs.map((job) => job.driver),
    [driver, driver, driver],
  );
  const log = async (job: string): Promise<string> =>
    (await line.run(['logs', 'latest', job], place)).stdout;
  const make = await log('make');
  assert.match(make, /^from the checkout$/m);
  assert.match(make, /^11\.\d+\.\d+$/m);
  assert.match(await log('take'), /^taken from the checkout of \d+\.\d+/m);
  return { make, refused: await log('refused') };
}

describe('whole runs', () => {
  test('by gVisor: source, outputs, artifacts, and a guard', async (context) => {
    const whyNot = whyNoGvisor();
    if (whyNot !== undefined) return context.skip(whyNot);
    const { make, refused } = await runAll(context, 'gvisor', () => ({}));
    assert.match(make, /Starting gVisor/);
    assert.match(refused, /^onejob refuses 10\.0\.0\.1:80: it is a private address/m);
  });

  test('by docker: source, outputs, artifacts, and a guard', async (context) => {
    const whyNot = whyNoEngine();
    if (whyNot !== undefined) return context.skip(whyNot);
    await using engine = await startTestEngine();
    const { socketPath } = engine;
    const settings = (line: CommandLine): Record<string, string> => ({
      ONEJOB_DOCKER_SETTINGS: line.write('docker.json', JSON.stringify({ socketPath })),
    });
    const { refused } = await runAll(context, 'docker', settings);
    assert.match(refused, /^onejob refuses 10\.0\.0\.1:80: it is a private address/m);
  });
});
