/** Network mode `nat` as a user sees it: a job in a machine with an interface of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines, MAIN } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `name: ci
on: push
jobs:
  nat:
    runs-on: ubuntu-latest
    steps:
      - run: |
          unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
          echo "interfaces: $(ls /sys/class/net | tr '\\n' ' ')"
          curl -sS -4 http://first.example.org/
          curl -sS -6 http://second.example.org/
          for closed in 169.254.169.254 10.20.0.7 172.31.0.1 192.0.2.9 '[fd00:ec2::254]'; do
            curl -sS --max-time 10 "http://$closed/" > /dev/null 2>&1 || echo "$closed: $?"
          done
          curl -sS http://inside.internal/ || echo "no such place: $?"
  listed:
    runs-on: ubuntu-latest
    env:
      ONEJOB_EGRESS: listed.example.org
    steps:
      - run: |
          curl -sS http://listed.example.org/
          curl -sS -o /dev/null -w 'by proxy: %{http_code}\\n' http://other.example.org/
          unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
          for place in listed.example.org 93.184.215.14 '[2606:4700::1111]'; do
            curl -sS --max-time 10 "http://$place/" > /dev/null 2>&1 || echo "past the proxy, $place: $?"
          done
          curl -sS http://other.example.org/ || echo "no such name: $?"
`,
});
/** Namespaces of its own, whose processes end with it. */
const OWN = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const line = await CommandLine.prepared();
const place = { directory: checkout.directory };
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

before(async () => {
  const { code, stderr } = await line.run(['image', 'build']);
  assert.equal(code, 0, stderr);
});

type Ran = { stdout: string; stderr: string; status: number | null };
let ran: Ran | undefined;

/** Both jobs in one public place, for all tests. */
function runThere(): Ran {
  const run = ['--data-dir', line.data, 'run', '--driver', 'qemu', '--network', 'nat', '--json'];
  const program = join(import.meta.dirname, '_public-place.ts');
  const words = [process.execPath, program, process.execPath, MAIN, ...run];
  ran ??= spawnSync('unshare', [...OWN, ...words], {
    cwd: checkout.directory,
    encoding: 'utf8',
    timeout: 120_000,
  });
  return ran;
}

/** Log and notes of a job. */
async function see(t: TestContext, job: string) {
  const tools = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/dev/net/tun'];
  if (process.getuid?.() !== 0 || !tools.every((path) => existsSync(path))) {
    return t.skip('it takes root, nftables and conntrack');
  }
  const { status, stdout, stderr } = runThere();
  assert.equal(status, 0, stdout + stderr);
  assert.match(stderr, /^left: nothing$/m);
  const { stdout: log } = await line.run(['logs', 'latest', job], place);
  const jobs = jsonLines<{ type: string; runs: Run[] }>(stdout).at(-1)?.runs[0]?.jobs ?? [];
  return { log, notes: jobs.find(({ key }) => key === job)?.notes.join('\n') ?? '' };
}

test('a job with a network of its own reaches the public by name, and nothing else', async (t) => {
  const seen = await see(t, 'nat');
  if (seen === undefined) return;
  const { log, notes } = seen;
  assert.match(log, /^interfaces: eth0 lo $/m);
  assert.match(log, /^first\.example\.org at ::ffff:93\.184\.215\.14 for ::ffff:192\.0\.2\.9$/m);
  assert.match(log, /^second\.example\.org at 2606:4700::1111 for 2001:db8:9::9$/m);
  // 7: it could not be connected to, at once; 28 would be the time.
  for (const closed of ['169.254.169.254', '10.20.0.7', '172.31.0.1', '192.0.2.9']) {
    assert.match(log, new RegExp(`^${closed.replaceAll('.', '\\.')}: 7$`, 'm'));
  }
  assert.match(log, /^\[fd00:ec2::254\]: 7$/m);
  assert.match(log, /^no such place: 6$/m);
  assert.match(notes, /Egress allowed: first\.example\.org:80, \d+ bytes up, \d+ bytes down/);
  assert.match(notes, /Egress allowed: second\.example\.org:80/);
  assert.match(notes, /Egress refused: onejob refuses 169\.254\.169\.254:80/);
  assert.match(notes, /Egress refused: onejob refuses inside\.internal: .*local network/);
});

test('a job with an allow-list has no way out but the proxy, whatever its interface', async (t) => {
  const seen = await see(t, 'listed');
  if (seen === undefined) return;
  const { log, notes } = seen;
  assert.match(log, /^listed\.example\.org at \S+ for \S+$/m);
  assert.match(log, /^by proxy: 403$/m);
  assert.match(log, /^past the proxy, listed\.example\.org: 7$/m);
  assert.match(log, /^past the proxy, 93\.184\.215\.14: 7$/m);
  assert.match(log, /^past the proxy, \[2606:4700::1111\]: 7$/m);
  assert.match(log, /^no such name: 6$/m);
  assert.match(
    notes,
    /onejob refuses listed\.example\.org:80: under an allow-list the proxy alone/,
  );
});

test('a host that cannot give networks says why and what to do, and runs nothing', (t) => {
  // In a network of its own nothing is forwarded; and there it takes root to make another.
  const words = [process.execPath, MAIN, '--data-dir', line.data, 'run', '--network', 'nat'];
  const refused = spawnSync('unshare', ['--net', ...words], {
    cwd: checkout.directory,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (process.getuid?.() !== 0) return t.skip('a network of its own takes root');
  assert.equal(refused.status, 4, refused.stdout + refused.stderr);
  assert.match(
    refused.stderr,
    /Network mode nat does not work here: .*(apt-get install|sysctl -w)/,
  );
});
