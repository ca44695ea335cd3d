/** Lines as conntrack 1.4.7 writes them, and lines of any kind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import fc from 'fast-check';
import type { EgressRecord } from '../guard/egress-record.ts';
import { createGuard } from '../guard/guard.ts';
import { AUDIT, NOTHING, readJobPolicy, type JobPolicy } from '../guard/job-policy.ts';
import { FlowRecorder, parseFlow, parseRefused, recordRefused } from './flows.ts';
import { FOLLOWED_FLOWS } from './limits.ts';

const tuple = (dst = '93.184.215.14', dport = 80): string =>
  `src=172.31.0.2 dst=${dst} sport=40000 dport=${dport}`;
const opened = (id: number, dst?: string, dport?: number): string =>
  `    [NEW] tcp      6 120 SYN_SENT ${tuple(dst, dport)} [UNREPLIED] src=93.184.215.14 dst=10.213.0.3 sport=80 dport=40000 id=${id}\n`;
const closed = (id: number): string =>
  `[DESTROY] tcp      6 TIME_WAIT ${tuple()} packets=5 bytes=300 src=93.184.215.14 dst=10.213.0.3 sport=80 dport=40000 packets=4 bytes=900 [ASSURED] id=${id}\n`;
const listed = (id: number): string =>
  `tcp      6 431999 ESTABLISHED ${tuple('1.1.1.1', 443)} packets=2 bytes=100 src=1.1.1.1 dst=10.213.0.3 sport=443 dport=40000 packets=1 bytes=60 [ASSURED] mark=0 use=1 id=${id}\n`;

function newRecorder(names: Readonly<Record<string, string>> = {}, policy = AUDIT) {
  const records: EgressRecord[] = [];
  const guard = createGuard({
    records: (record) => void records.push(record),
    ownAddresses: () => [],
  });
  const egress = { sandboxId: newSandboxId(), policy: () => policy };
  const context = { egress, guard, nameOf: (at: string) => names[at] };
  return { recorder: new FlowRecorder(context), context, records, names };
}

test('a flow is one record when it ends, with its bytes both ways and the name it began with', () => {
  const names: Record<string, string> = { '93.184.215.14': 'public.example.org' };
  const { recorder, records } = newRecorder(names);
  for (const part of opened(7).match(/.{1,11}|\n/g) ?? []) recorder.push(part);
  assert.deepEqual(records, []);
  names['93.184.215.14'] = 'other.example.org';
  recorder.push(closed(7));
  const [{ atMs, durationMs, sandboxId, ...record }] = records as unknown as [EgressRecord];
  assert.ok(atMs > 0 && durationMs >= 0 && sandboxId.startsWith('sb'));
  assert.deepEqual(record, {
    host: 'public.example.org',
    port: 80,
    address: '93.184.215.14',
    verdict: 'allowed',
    rule: 'public-address',
    bytesUp: 300,
    bytesDown: 900,
  });
});

test('what is open at the end is recorded then, once; look-ups are not connections', () => {
  const { recorder, records } = newRecorder();
  recorder.push(opened(1, '1.1.1.1', 443));
  recorder.push(opened(2, '172.31.0.1', 53));
  recorder.finish(listed(1));
  recorder.finish('');
  assert.equal(records.length, 1);
  assert.equal(records[0]?.host, '1.1.1.1');
  assert.equal(records[0]?.bytesDown, 60);
});

test('flows that are too many to follow are recorded when they end', () => {
  const { recorder, records } = newRecorder();
  for (let id = 0; id < FOLLOWED_FLOWS + 3; id += 1) recorder.push(opened(id));
  for (let id = FOLLOWED_FLOWS; id < FOLLOWED_FLOWS + 3; id += 1) recorder.push(closed(id));
  assert.equal(records.length, 3);
});

test('a flow whose end nobody told is recorded all the same, and that its bytes are not known', () => {
  const { recorder, records } = newRecorder();
  recorder.push(opened(1) + opened(2, '1.1.1.1', 443) + closed(1));
  recorder.finish('');
  assert.equal(records.length, 2);
  const [, { host, port, verdict, bytesUp, reason }] = records as [EgressRecord, EgressRecord];
  assert.deepEqual(
    { host, port, verdict, bytesUp },
    { host: '1.1.1.1', port: 443, verdict: 'allowed', bytesUp: 0 },
  );
  assert.match(reason ?? '', /not seen/);
});

test('any line is a flow or none', () => {
  const words = fc.constantFrom('[NEW]', 'src=', 'dst=::1', 'dst=1.2.3.4', 'id=x', 'bytes=-1', ' ');
  const line = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(words, fc.string())).map((all) => all.join(' ')),
  );
  fc.assert(
    fc.property(line, (text) => {
      const flow = parseFlow(text);
      assert.ok(flow === undefined || flow.bytesUp >= 0);
    }),
    { numRuns: 3000 },
  );
});

test('targets of refused packets become refusals with the rule of the address', () => {
  const element = (address: string, port: number): unknown => ({
    elem: { val: { concat: [address, 'tcp', port] }, counter: { packets: 3, bytes: 180 } },
  });
  const json = JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      {
        set: {
          name: 'refused4',
          elem: [element('10.0.0.1', 80), element('1.1.1.1', 25), element('8.8.8.8', 443), {}],
        },
      },
    ],
  });
  const rulesUnder = (policy: JobPolicy): unknown[] => {
    const { context, records } = newRecorder({}, policy);
    recordRefused(json, context);
    assert.ok(records.every(({ verdict }) => verdict === 'refused'));
    return records.map(({ host, port, rule }) => `${host}:${port} ${rule}`);
  };
  const inside = '10.0.0.1:80 private-address';
  const over = '8.8.8.8:443 connection-limit';
  assert.deepEqual(rulesUnder(AUDIT), [inside, '1.1.1.1:25 refused-port', over]);
  const none = ['1.1.1.1:25 policy-none', '8.8.8.8:443 policy-none'];
  assert.deepEqual(rulesUnder(NOTHING), [inside, ...none]);
  const past = ['1.1.1.1:25 not-through-proxy', '8.8.8.8:443 not-through-proxy'];
  assert.deepEqual(rulesUnder(readJobPolicy(['8.8.8.8/32'])), [inside, ...past]);
  assert.deepEqual(parseRefused('no JSON'), []);
  assert.deepEqual(parseRefused('{}'), []);
});
