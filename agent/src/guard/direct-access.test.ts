/** What packets of a sandbox may reach, beside what the guard would let them reach. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directAccess, judgeDirect } from './direct-access.ts';
import { AUDIT, NOTHING, readJobPolicy, type JobPolicy } from './job-policy.ts';
import { GUARD_LIMITS } from './limits.ts';
import { compilePolicy, judgeAddresses, type PolicyOptions } from './policy.ts';

const PUBLIC = '93.184.215.14';

const judge = (
  port: number,
  options: PolicyOptions = {},
  jobPolicy: JobPolicy = AUDIT,
  address = PUBLIC,
): string =>
  judgeDirect({ host: address, address, port }, compilePolicy(options), jobPolicy, []).rule;

const closes = (port: number, options: PolicyOptions = {}): boolean =>
  directAccess(compilePolicy(options), GUARD_LIMITS, []).closedPorts.some(
    ({ from, to }) => from <= port && port <= to,
  );

test('ports of DNS and of DNS over TLS are closed to packets, whatever an operator refuses', () => {
  for (const options of [{}, { refusedPorts: [] }, { refusedPorts: [{ from: 7, to: 9 }] }]) {
    for (const port of [53, 853]) {
      assert.equal(closes(port, options), true, `${port}`);
      assert.equal(judge(port, options), 'refused-port', `${port}`);
      assert.equal(judge(port, options, AUDIT, '2606:4700::1111'), 'refused-port', `${port}`);
    }
    for (const port of [52, 54, 80, 443, 852, 854]) {
      assert.equal(closes(port, options), false, `${port}`);
      assert.equal(judge(port, options), 'public-address', `${port}`);
    }
  }
});

test('the guard itself lets them on: its records and limits are those of a connection', () => {
  const target = { host: PUBLIC, port: 53 };
  assert.equal(judgeAddresses(target, [PUBLIC], compilePolicy({}), []).verdict, 'allowed');
});

test('ports that an operator refuses are closed to packets as well', () => {
  assert.deepEqual([closes(25), judge(25)], [true, 'refused-port']);
  const options = { refusedPorts: [{ from: 7, to: 9 }] };
  assert.deepEqual([closes(8, options), judge(8, options)], [true, 'refused-port']);
  assert.deepEqual([closes(25, options), judge(25, options)], [false, 'public-address']);
});

test('what an operator opened is not open to packets, and a job with a policy of its own has the proxy alone', () => {
  const hazardous = { hazardousReachableRanges: ['10.0.0.0/8'] };
  assert.equal(judge(443, hazardous, AUDIT, '10.1.2.3'), 'private-address');
  assert.equal(judge(443, {}, NOTHING), 'policy-none');
  assert.equal(judge(443, {}, readJobPolicy([`${PUBLIC}/32`])), 'not-through-proxy');
});
