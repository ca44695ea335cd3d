/**
 * A program for `_public-place.ts`: three jobs on machines with a network of their own, the second and
 * third when there is a snapshot of such a machine. Says each one's phases and log as a line of JSON.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, startConstellation } from '@onejob/testing';

const [, , cacheDirectory = ''] = process.argv;
const snapshots = join(cacheDirectory, 'snapshots');
const WORKFLOW = `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: |
          unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
          curl -sS -4 http://first.example.org/
          curl -sS -6 http://second.example.org/
          for closed in 169.254.169.254 172.31.0.1 192.0.2.9 '[fd00:ec2::254]'; do
            curl -sS --max-time 10 "http://$closed/" > /dev/null 2>&1 || echo "$closed: $?"
          done
          head -c 16 /dev/urandom | od -An -tx1
`;

const agent = { cacheDirectory, network: 'nat' } as const;
await using constellation = await startConstellation({ driver: 'qemu', agent });
for (const count of [1, 2, 3]) {
  const { run, logs } = await constellation.run({ workflow: WORKFLOW });
  const [job] = run.jobs;
  const log = logs['one']?.map(({ text }) => text);
  const seen = { conclusion: run.conclusion, phases: job?.phasesMs, note: job?.driverNote, log };
  process.stdout.write(`${JSON.stringify(seen)}\n`);
  if (count > 1) continue;
  await eventually('a snapshot was there', () => {
    const names = existsSync(snapshots) ? readdirSync(snapshots) : [];
    return names.some((name) => !name.startsWith('draft')) || undefined;
  });
}
