import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEIGHBOUR, neighbourAttacks, NEIGHBOUR_ADDRESSES } from './attacks/neighbour.ts';
import { observe, type Round } from './evidence.ts';
import type { Lab } from './lab.ts';
import { aimAll, startNeighbour } from './neighbour.ts';

const attacks = neighbourAttacks({ network: 'link' }).filter(({ id }) =>
  ['neighbour-proxy', 'neighbour-address', 'neighbour-address-6'].includes(id),
);

/** Its one job says these rows and stays until it is stopped, or ends at once. */
const labThatSays = (lines: readonly string[], stays: boolean): Lab => ({
  dataDirectory: '/nowhere',
  cacheDirectory: undefined,
  engineDirectory: undefined,
  run: async (_, { line, running, stop } = {}) => {
    await running?.('sb0123456789abcdef', new AbortController().signal);
    for (const one of lines) line?.(one);
    await new Promise<void>((resolve) => {
      if (!stays) resolve();
      stop?.addEventListener('abort', () => resolve());
    });
    const driver = { driver: 'qemu', driverNote: '' };
    return { sandboxId: '', ...driver, lines, ended: 'failure: no machine' };
  },
});

const row = (id: string, seen: string, said = ''): string =>
  `onejob-prove ${JSON.stringify({ id, seen, said })}`;

const start = async (lab: Lab) => {
  const job = { driver: 'qemu', files: {}, secrets: {}, vars: {} };
  const options = { lab, side: 'sandbox' as const, job, value: 'its-value' };
  return await startNeighbour({ ...options, attacks, replays: [] });
};

const roundOf = (untried: ReadonlyMap<string, string>): Round => ({
  reports: new Map(attacks.map(({ id }) => [id, { seen: 'refused', said: '' }])),
  ...{ host: new Map(), values: new Map(), arrivals: [], changes: new Map() },
  ...{ log: '', ended: 'success', untried },
});

test('an attack goes to the addresses that the other job says of itself, and to no other', async () => {
  const lines = [row(NEIGHBOUR_ADDRESSES, '172.31.0.2\n'), row(NEIGHBOUR, 'ready')];
  await using neighbour = await start(labThatSays(lines, true));
  assert.deepEqual([...neighbour.values], [[NEIGHBOUR, 'its-value']]);
  const aimed = aimAll(attacks, neighbour);
  assert.deepEqual(
    aimed.attacks.map(({ probes }) => probes.map(({ probe }) => 'target' in probe && probe.target)),
    [['127.0.0.1:27110'], ['172.31.0.2:27110']],
  );
  assert.deepEqual(
    [...aimed.untried],
    [['neighbour-address-6', 'the other sandbox has no such address']],
  );
});

test('where no other sandbox came nothing of it was refused: its attacks were not tried', async () => {
  await using neighbour = await start(labThatSays([], false));
  const { untried } = aimAll(attacks, neighbour);
  for (const attack of attacks) {
    const seen = observe(attack, roundOf(untried));
    assert.equal(seen.outcome, 'not tried', attack.id);
    assert.match('why' in seen ? seen.why : '', /no other sandbox: failure: no machine/);
  }
});

test('the other sandbox itself says why it is not there', async () => {
  const lines = [row(NEIGHBOUR, '', 'port Address already in use at -e line 12.')];
  await using neighbour = await start(labThatSays(lines, false));
  assert.match(
    neighbour.missing,
    /^there was no other sandbox: port Address already in use .*; failure: no machine$/,
  );
});
