import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Evidence, ReplayAttack, SandboxAttack } from './attack.ts';
import {
  mergeReports,
  observe,
  observeUse,
  readReports,
  type ProbeReport,
  type Round,
} from './evidence.ts';

const attackWith = (evidence: Evidence): SandboxAttack => ({
  kind: 'sandbox',
  id: 'one',
  class: 'escape',
  title: '',
  expected: '',
  control: '',
  probes: [{ turn: 'first', probe: { do: 'script', script: 'true' } }],
  evidence,
});

const roundWith = (known: Partial<Round>, seen = ''): Round => ({
  reports: new Map([['one', { seen, said: '' }]]),
  host: new Map(),
  values: new Map([['file', 'prove-file-1234']]),
  arrivals: [],
  changes: new Map(),
  log: '',
  ended: 'success',
  ...known,
});

const outcome = (evidence: Evidence, round: Round): string =>
  observe(attackWith(evidence), round).outcome;

test('a secret of the host is evidence, and what only looks like one is not', () => {
  const evidence: Evidence = { by: 'secret', name: 'file' };
  assert.equal(outcome(evidence, roundWith({}, 'so: prove-file-1234')), 'through');
  assert.equal(outcome(evidence, roundWith({}, 'prove-file-9999')), 'stopped');
  assert.equal(outcome({ by: 'secret', name: 'nobody' }, roundWith({}, '')), 'stopped');
});

test('what the host sees is evidence where there is something to see', () => {
  const evidence: Evidence = { by: 'alike' };
  const host = new Map([['one', 'boot 7\n']]);
  assert.equal(outcome(evidence, roundWith({ host }, 'boot 7')), 'through');
  assert.equal(outcome(evidence, roundWith({ host }, 'boot 8')), 'stopped');
  assert.equal(outcome(evidence, roundWith({ host: new Map([['one', ' \n']]) }, '')), 'not tried');
  assert.equal(outcome(evidence, roundWith({}, '')), 'not tried');
});

test('one line of a list is enough where it tells of the host alone', () => {
  const lists = [
    ['cards', 'link/ether 9e:49:86:56:82:7d', 'link/ether 00:00:00:00:00:00'],
    ['addresses', 'inet 203.0.113.1/24', 'inet 127.0.0.1/8'],
    ['addresses', 'inet6 2001:db8:ffff::1/64', 'inet6 ::1/128'],
    ['disks', '254 0 976762584 vda', '254 0 268435456 vda'],
    ['disks', '254 0 976762584 vda', '1 0 65535 ram0'],
  ] as const;
  for (const [lines, telling, common] of lists) {
    const evidence: Evidence = { by: 'alike', lines };
    const host = new Map([['one', `${common}\n ${telling}\n`]]);
    assert.equal(outcome(evidence, roundWith({ host }, `other\n${telling}`)), 'through', telling);
    assert.equal(outcome(evidence, roundWith({ host }, `other\n${common}`)), 'stopped', common);
    assert.equal(outcome(evidence, roundWith({ host }, `${common}\n ${telling}`)), 'through');
    const whole: Evidence = { by: 'alike' };
    assert.equal(outcome(whole, roundWith({ host }, `other\n${telling}`)), 'stopped');
  }
});

test('an arrival counts for the attack that it names, at its address and from its source', () => {
  const arrivals = [{ id: 'one', address: '10.0.0.1', from: '203.0.113.1' }];
  assert.equal(outcome({ by: 'arrival' }, roundWith({ arrivals })), 'through');
  assert.equal(outcome({ by: 'arrival', address: '10.0.0.1' }, roundWith({ arrivals })), 'through');
  assert.equal(outcome({ by: 'arrival', address: '10.0.0.2' }, roundWith({ arrivals })), 'stopped');
  assert.equal(
    outcome({ by: 'arrival', from: '198.51.100.7' }, roundWith({ arrivals })),
    'stopped',
  );
  const others = [{ id: 'two', address: '10.0.0.1', from: '' }];
  assert.equal(outcome({ by: 'arrival' }, roundWith({ arrivals: others })), 'stopped');
});

test('a change of the host and a text of the log are evidence, whatever the probe says', () => {
  const changes = new Map([['written', 'its file is there']]);
  assert.equal(outcome({ by: 'change', name: 'written' }, roundWith({ changes })), 'through');
  assert.equal(outcome({ by: 'change', name: 'other' }, roundWith({ changes }, 'done')), 'stopped');
  assert.equal(
    outcome({ by: 'log', text: '<s3cret>' }, roundWith({ log: 'a\n<s3cret>' })),
    'through',
  );
  assert.equal(outcome({ by: 'log', text: '<s3cret>' }, roundWith({ log: '<***>' })), 'stopped');
});

test('an attack whose probe said nothing was not tried', () => {
  const observation = observe(
    attackWith({ by: 'arrival' }),
    roundWith({ reports: new Map(), ended: 'failure: out_of_memory' }),
  );
  assert.deepEqual(observation, {
    outcome: 'not tried',
    why: 'no probe said so: failure: out_of_memory',
  });
});

test('a probe that a tool is missing for was not tried, whatever evidence it looks for', () => {
  const missing: readonly [tool: string, said: string][] = [
    ['ip', 'sh: 1: ip: not found'],
    ['perl', 'bash: line 1: perl: command not found'],
    ['perl', 'other words\nsh: perl: not found'],
    ['bash', "timeout: failed to run command 'bash': No such file or directory"],
    ['bash', 'timeout: failed to run command ‘bash’: No such file or directory'],
    ['sh', 'spawn sh ENOENT'],
  ];
  const evidences: Evidence[] = [
    { by: 'secret', name: 'file' },
    { by: 'arrival' },
    { by: 'change', name: 'route' },
    { by: 'text', text: 'has' },
  ];
  for (const [tool, said] of missing) {
    const reports = new Map([['one', { seen: '', said }]]);
    for (const evidence of evidences) {
      assert.deepEqual(observe(attackWith(evidence), roundWith({ reports })), {
        outcome: 'not tried',
        why: `the probe needs ${tool}, which is not there`,
      });
    }
    const changes = new Map([['route', 'it is there']]);
    const [, , change = { by: 'arrival' }] = evidences;
    assert.equal(outcome(change, roundWith({ reports, changes })), 'through', 'by another way');
  }
});

test('what is not there, or refused, is a defence and no missing tool', () => {
  for (const said of [
    "ls: cannot access '/data/pg/global': No such file or directory",
    'sh: 1: cannot create /proc/sys/kernel/hostname: Read-only file system',
    'sh: 1: cannot create /proc/sysrq-trigger: Directory nonexistent',
    'bash: line 1: /dev/tcp/127.0.0.1/27110: Connection refused',
    'cat: /sys/class/net//ifindex: No such file or directory',
    'Required key not available at -e line 1.',
    'getaddrinfo ENOTFOUND inside.example.org',
  ]) {
    const reports = new Map([['one', { seen: '', said }]]);
    assert.equal(outcome({ by: 'arrival' }, roundWith({ reports })), 'stopped', said);
  }
});

test('the hash of nothing is no answer, on either side', () => {
  const nothing = `${createHash('sha256').digest('hex')}  -`;
  const evidence: Evidence = { by: 'alike' };
  const host = new Map([['one', 'a1b2  -']]);
  const reports = new Map([['one', { seen: nothing, said: 'ls: Invalid argument' }]]);
  assert.deepEqual(observe(attackWith(evidence), roundWith({ host, reports })), {
    outcome: 'not tried',
    why: 'the probe had nothing to look at: ls: Invalid argument',
  });
  const both = roundWith({ host: new Map([['one', nothing]]) }, nothing);
  assert.equal(outcome(evidence, both), 'not tried');
});

test('a probe that says it cannot look was not tried, and one of a replay neither', () => {
  const said = 'onejob-prove cannot look: no /dev';
  const reports = new Map([['one', { seen: '', said }]]);
  assert.equal(outcome({ by: 'secret', name: 'file' }, roundWith({ reports })), 'not tried');
  const replay: ReplayAttack = {
    ...attackWith({ by: 'arrival' }),
    ...{ kind: 'replay', where: 'later', take: '', use: '', text: 'status 200' },
  };
  const use = (report: { seen: string; said: string }): string =>
    observeUse(replay, roundWith({ reports: new Map([['one-own', report]]) }), 'own').outcome;
  assert.equal(use({ seen: '', said: 'sh: 1: curl: not found' }), 'not tried');
  assert.equal(use({ seen: 'status 401', said: '' }), 'stopped');
  assert.equal(use({ seen: 'status 200', said: '' }), 'through');
});

test('of two turns the later one counts, if the first could leave what it looks for', () => {
  const script = { do: 'script', script: 'true' } as const;
  const attack: SandboxAttack = {
    ...attackWith({ by: 'text', text: 'left' }),
    probes: [
      { turn: 'first', probe: script },
      { turn: 'next', probe: script },
    ],
  };
  const reports = (said: string) => new Map([['one', { seen: '', said }]]);
  const outcomeOf = (first: Map<string, ProbeReport>): string =>
    observe(
      attack,
      roundWith({ reports: mergeReports([attack], first, reports('cat: No such file')) }),
    ).outcome;
  assert.equal(outcomeOf(reports('')), 'stopped');
  assert.equal(outcomeOf(reports('sh: 1: git: not found')), 'not tried');
  assert.equal(outcomeOf(new Map()), 'not tried');
});

test('lines of a log that are no reports are left out, whatever a job prints', () => {
  const reports = readReports([
    'onejob-prove {"id":"a","seen":"x","said":""}',
    'onejob-prove {"id":"b"',
    'onejob-prove {"id":7,"seen":"x","said":""}',
    'onejob-prove {"id":"__proto__","seen":"x","said":""}',
    ' onejob-prove {"id":"c","seen":"x","said":""}',
    'onejob-prove {"id":"a","seen":"y","said":"z"}',
  ]);
  assert.deepEqual([...reports.keys()], ['a', '__proto__']);
  assert.deepEqual(reports.get('a'), { seen: 'y', said: 'z' });
});

test('a job of its own that ended for want of memory was stopped; for another reason it shows nothing', () => {
  const silent = { reports: new Map() };
  const end = (how: string) => roundWith({ ...silent, alone: new Map([['one', how]]) });
  const text: Evidence = { by: 'text', text: 'has' };
  assert.equal(outcome(text, end('failure: out_of_memory: The machine ran out.')), 'stopped');
  assert.equal(outcome(text, end('failure: boot_failed: No machine.')), 'not tried');
  assert.equal(outcome(text, roundWith({ ...silent, ended: 'x: out_of_memory: y' })), 'not tried');
});
