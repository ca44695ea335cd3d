/**
 * The walls of network mode `nat`, through real packets: three sandboxes, each with the agent's own
 * network, against everything that is closed to them, in both IP versions; then again with the packet
 * rules gone, and, as the control of each probe, without any wall.
 *
 * Two of the sandboxes are of one tenant, the third is of another. A network has no tenant: its walls stand
 * round one sandbox, so one of the same tenant is as closed as one of another. What a tenant decides is the
 * policy for which its jobs' ways out are opened.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PUBLIC, PUBLIC_NAME } from './_network-trials.ts';
import { ISATAP, type Findings, type Phase } from './_network-world.ts';

/** What the namespace of a sandbox is itself: nothing listens there but what these tests put there. */
const ITSELF = ['gateway', 'gateway6', 'own address', 'own address by IPv6'];

function findWorld(): Findings | undefined {
  const programs = ['nft', 'conntrack', 'iptables'].map((name) => `/usr/sbin/${name}`);
  const tools = [...programs, '/dev/net/tun'];
  if (process.getuid?.() !== 0 || !tools.every((path) => existsSync(path))) return undefined;
  using directory = mkdtempDisposableSync(join(tmpdir(), 'network-walls-'));
  const program = join(import.meta.dirname, '_network-world.ts');
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const world = spawnSync('unshare', [...own, process.execPath, program], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: directory.path },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 300_000,
    killSignal: 'SIGKILL',
  });
  assert.equal(world.status, 0);
  return JSON.parse(world.stdout) as Findings;
}

/** `guest target`, for each that came through. */
const reachedIn = ({ outcomes }: Phase): string[] =>
  Object.entries(outcomes).flatMap(([guest, targets]) =>
    Object.entries(targets).flatMap(([target, said]) =>
      said.startsWith('reached ') ? [`${guest} ${target}`] : [],
    ),
  );

const guests = ['guest 1', 'guest 2', 'guest 3'];
const each = (targets: readonly string[]): string[] =>
  guests.flatMap((guest) => targets.map((target) => `${guest} ${target}`));

const found = findWorld();
const skip = found === undefined ? 'it takes root, nftables, conntrack and iptables' : false;

const fine = {
  ...{ works: true, hasIpv6: true, missingCards: {} },
  ...{ note: 'IPv4 and IPv6', warnings: [] },
};

function assertShut({ before, after, arrived, notes }: Findings['unrecorded'], why: string): void {
  assert.deepEqual(
    before,
    Object.values(PUBLIC).map((host) => `reached ${host}`),
  );
  assert.deepEqual([after.filter((one) => one.startsWith('reached')), arrived], [[], 0]);
  assert.equal(notes.length, 1);
  const told = "Egress: what records this job's own connections (conntrack) ended: ";
  assert.ok(notes[0]?.startsWith(told + why), notes[0]);
}

describe('network mode nat', { skip }, () => {
  const findings = found as Findings;
  const open = Object.values(PUBLIC);

  test('nothing is reached before a job is there, nor by a job that has an allow-list or none', () => {
    for (const { outcomes, arrived } of [findings.unopened, findings.narrow]) {
      assert.deepEqual(reachedIn({ outcomes, arrived }), []);
      assert.equal(arrived, 0);
    }
  });

  test('of two tenants each has its own policy: jobs of one go out, of the other they do not, and none reaches another', () => {
    const ofOne = each(open).filter((one) => !one.startsWith('guest 3 '));
    assert.deepEqual(reachedIn(findings.tenants), ofOne);
    assert.equal(findings.tenants.arrived, 2 * ofOne.length);
  });

  test('a sandbox reaches public hosts and nothing else: no host, no other sandbox, no closed range', () => {
    assert.deepEqual(reachedIn(findings.walls), each(open));
    assert.equal(
      findings.walls.arrived,
      2 * each(open).length,
      'one connection, one datagram each',
    );
  });

  test('what is refused fails at once, and is not left to wait', () => {
    const said = Object.values(findings.walls.outcomes).flatMap((targets) =>
      Object.entries(targets),
    );
    assert.deepEqual(
      said.filter(([, outcome]) => outcome === 'silence'),
      [],
    );
  });

  test('the packet rules are a wall of their own: with routes that lead everywhere nothing more is reached', () => {
    assert.deepEqual(reachedIn(findings.withoutRoutes), each(open));
    assert.equal(findings.withoutRoutes.arrived, 2 * each(open).length);
  });

  test('the routes are a second wall: with every packet rule gone nothing more is reached', () => {
    const reached = reachedIn(findings.withoutRules);
    assert.deepEqual(
      reached.filter((one) => ![...ITSELF, ISATAP].some((name) => one.endsWith(` ${name}`))),
      each(open),
    );
    assert.equal(findings.withoutRules.arrived, 2 * reached.length);
  });

  test('each probe works: without both walls every target is reached', () => {
    const targets = Object.keys(findings.withoutWalls.outcomes['guest 1'] ?? {});
    assert.ok(targets.length > 20);
    assert.deepEqual(reachedIn(findings.withoutWalls), each(targets));
  });

  test('packets from an address or a card of others go nowhere', () => {
    assert.deepEqual(findings.spoofed, {
      ...{ sent: 12, datagrams: 0, connections: 0 },
      outcomes: Array<string>(12).fill('silence'),
    });
  });

  test('the same packets arrive when the walls are gone, in both versions', () => {
    const { sent, datagrams } = findings.spoofedWithoutWalls;
    assert.deepEqual([sent, datagrams], [12, 12]);
  });

  test('names are looked up by the guard: refused ones are refused whole, others have both versions', () => {
    assert.deepEqual(findings.names, {
      [PUBLIC_NAME]: `${PUBLIC.ipv4} ${PUBLIC.ipv6}`,
      'inside.example.org': 'EREFUSED EREFUSED',
      'mixed.example.org': 'EREFUSED EREFUSED',
      'gone.example.org': 'ENOTFOUND ENOTFOUND',
      localhost: 'EREFUSED EREFUSED',
      'metadata.google.internal': 'EREFUSED EREFUSED',
    });
  });

  test('no other resolver is asked: ports of DNS are closed at public hosts, by TCP and UDP, and open without that rule', () => {
    const { within, without, rules } = findings.nameServers;
    const places = Object.values(PUBLIC).flatMap((host) => [host, host]); // ports 53 and 853
    const count = places.length;
    assert.deepEqual(without, {
      told: places.map((host) => `reached ${host}`),
      ...{ connections: count, datagrams: count },
    });
    assert.deepEqual([within.connections, within.datagrams], [0, 0]);
    assert.ok(
      !within.told.some((said) => said === 'silence' || said.startsWith('reached ')),
      within.told.join(),
    );
    // By TCP and by UDP: what was refused, and what the control let through.
    assert.deepEqual(rules, Array<string>(4 * count).fill('refused-port'));
  });

  test('a question that comes from no port is not answered, and harms nobody', () => {
    assert.deepEqual(findings.portless, [`${PUBLIC.ipv4} ${PUBLIC.ipv6}`]);
  });

  test('each flow is a record with the name that led there, and so is what was refused', () => {
    const allowed = findings.records.filter(({ verdict }) => verdict === 'allowed');
    const named = allowed.find(({ host, port }) => host === PUBLIC_NAME && port === 443);
    assert.equal(named?.address, PUBLIC.ipv4);
    assert.equal(named.rule, 'public-address');
    assert.ok(named.bytesDown > 0);
    const refused = new Map(
      findings.records
        .filter(({ verdict }) => verdict === 'refused')
        .map(({ address, host, rule }) => [address ?? host, rule]),
    );
    assert.equal(refused.get('169.254.169.254'), 'metadata-address');
    assert.equal(refused.get('10.20.0.7'), 'private-address');
    assert.equal(refused.get('fd12:3456::7'), 'unique-local-address');
    assert.equal(refused.get('23.5.0.7'), 'operator-refused-range');
    assert.equal(refused.get('93.184.215.99'), 'own-address');
  });

  test('connections beyond the limits are refused at once, and said; so is what follows the last byte', () => {
    const opened = Array<string>(3).fill('public-address');
    const refused = Array<string>(3).fill('connection-limit');
    const {
      newConnectionsPerSecond: second,
      'bytesPerSecond,burstBytes': rate,
      ...others
    } = findings.limited;
    assert.deepEqual(others, {
      connectionsPerSandbox: { arrived: 3, rules: [...refused, ...opened] },
      newConnectionsPerMinute: { arrived: 3, rules: [...refused, ...opened] },
      bytesPerSandbox: { arrived: 3, rules: [...refused, ...opened] },
    });
    // A slow host sends the last ones later, when there is room again.
    assert.ok(second !== undefined && second.arrived >= 3 && second.arrived < 6);
    assert.equal(second.rules[0], 'connection-limit');
    assert.deepEqual(
      rate,
      { arrived: 3, rules: opened },
      'what is too fast is lost, and not refused',
    );
  });

  test('flows that a namespace forgets fill no table of the host, and go with their sandbox', () => {
    assert.deepEqual(findings.hostFlows, { arrived: 6, counted: 6, ofOthers: 1, buried: 0 });
    assert.equal(findings.reaped.flows, 0, 'of one whose agent died');
  });

  test('flows that are open at the end are recorded whole, however many they are', () => {
    assert.deepEqual(findings.manyOpen, { records: 2000, incomplete: 0, notes: [] });
  });

  test('when what records its flows ends, the way out is shut, and the job is told', () => {
    assertShut(findings.unrecorded, 'SIGKILL. ');
  });

  test('when what records its flows has lost some of them, the way out is shut, and the job is told', () => {
    assertShut(findings.overtaken, 'it lost some, it was read too slowly. ');
  });

  test('what rules of the host send elsewhere goes nowhere: nobody has judged where that is', () => {
    const { within, without } = findings.published;
    assert.deepEqual(without, ['reached 10.20.0.7', 'reached fd12:3456::7'], 'the control');
    assert.equal(within.length, 2);
    assert.ok(
      !within.some((said) => said === 'silence' || said.startsWith('reached')),
      within.join(),
    );
  });

  test("a host whose own rules drop what is forwarded is said, with what lets sandboxes' packets through", () => {
    const { without, within, excepted } = findings.firewall;
    assert.deepEqual([without.probe, excepted.probe], [fine, fine]);
    assert.equal(within.probe.works, false);
    assert.match(within.probe.note, /packet rules of this host's own drop what sandboxes send/);
    assert.deepEqual(
      [without.reached, within.reached, excepted.reached],
      [`reached ${PUBLIC.ipv4}`, 'silence', `reached ${PUBLIC.ipv4}`],
    );
  });

  test('a host whose own rules drop IPv6 alone gives sandboxes none, and says so with what lets it through', () => {
    const { without, within, excepted } = findings.firewall6;
    assert.deepEqual([without.probe, excepted.probe], [fine, fine]);
    const { note, warnings, ...given } = within.probe;
    assert.deepEqual(given, { works: true, hasIpv6: false, missingCards: {} });
    assert.match(
      note,
      /^IPv4; no IPv6: packet rules of this host's own drop .* by IPv6 .*ip6tables/,
    );
    assert.deepEqual(
      warnings.map((one) => `IPv4; ${one}`),
      [note],
    );
    assert.deepEqual(
      [without.reached, within.reached, excepted.reached],
      [`reached ${PUBLIC.ipv6}`, 'silence', `reached ${PUBLIC.ipv6}`],
    );
  });

  test('each acquisition that fails in turn, half made or not, leaves nothing', () => {
    assert.deepEqual(findings.failures, []);
  });

  test('a network whose agent died is found by its veth; one of another agent is left alone', () => {
    assert.deepEqual(findings.reaped.removed.toSorted(), [
      'interface veth of sandbox DEAD (no live sandbox has that id)',
      'network namespace onejob-DEAD (no live sandbox has that id)',
      'nftables table inet onejob_DEAD (no live sandbox has that id)',
      'processes of sandbox DEAD (no live sandbox has that id)',
    ]);
    assert.deepEqual(findings.reaped.left, ['onejob-OTHER', 'veth of OTHER', 'onejob_OTHER']);
  });

  test('when they are buried, twice, the host is as it was', () => {
    assert.equal(findings.inventory.after, findings.inventory.before);
  });
});
