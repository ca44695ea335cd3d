/** Jobs with a network of their own: what they reach and do not, whatever driver makes their machines. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Run } from '@onejob/protocol';
import { type CommandLine, jsonLines, MAIN } from './_command-line.ts';
import { openNetworkHost } from './_network-host.ts';

const WORKFLOW = `name: ci
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
`;
export type SeenJob = { log: string; notes: string };
export type NetworkJobs = {
  readonly line: CommandLine;
  readonly directory: string;
  /** A job's; undefined where it is skipped. */
  readonly see: (t: TestContext, job: 'nat' | 'listed') => Promise<SeenJob | undefined>;
};

/**
 * Both jobs run once, in one public place, for all tests of a file.
 * @param prelude words of a program that runs the command line there, if not that itself
 */
export async function openNetworkJobs(
  driver: string,
  prelude: readonly string[] = [],
): Promise<NetworkJobs> {
  const host = await openNetworkHost(WORKFLOW);
  const { line, directory } = host;
  let ran: ReturnType<typeof runThere> | undefined;
  const runThere = () => {
    const run = ['--data-dir', line.data, 'run', '--driver', driver, '--network', 'nat', '--json'];
    return host.run([...prelude, process.execPath, MAIN, ...run]);
  };
  const see: NetworkJobs['see'] = async (t, job) => {
    if (host.whyNot !== undefined) {
      t.skip(host.whyNot);
      return undefined;
    }
    ran ??= runThere();
    const { status, stdout, stderr } = ran;
    assert.equal(status, 0, stdout + stderr);
    assert.match(stderr, /^left: nothing$/m);
    const { stdout: log } = await line.run(['logs', 'latest', job], { directory });
    const jobs = jsonLines<{ type: string; runs: Run[] }>(stdout).at(-1)?.runs[0]?.jobs ?? [];
    return { log, notes: jobs.find(({ key }) => key === job)?.notes.join('\n') ?? '' };
  };

  return { line, directory, see };
}

/** Of the job `nat`: it reached the public by name, and nothing else. */
export function checkReached({ log, notes }: SeenJob): void {
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
}

/** Of the job `listed`: it had no way out but the proxy. */
export function checkListed({ log, notes }: SeenJob): void {
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
}
