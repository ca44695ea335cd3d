/** What `ONEJOB_EGRESS` in a file means for its jobs, and what of it refuses them, with the line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FILE, parsed } from '../../tests/_workflows.ts';
import { egressOf, whyRefused } from '../index.ts';

const file = (ofWorkflow: string, ofJob: string, ofStep = ''): string => `on: push
${ofWorkflow}
jobs:
  a:
    runs-on: x
${ofJob}
    steps:
      - run: a
${ofStep}
`;
const refusal = (text: string): string => {
  const workflow = parsed(text);
  const { message = '' } = whyRefused(workflow, workflow.jobs[0]!) ?? {};
  const start = `${FILE}:`;
  if (message !== '') assert.ok(message.startsWith(start), message);
  return message.slice(start.length);
};

test('a job has the policy of its own env, else that of the workflow, else none', () => {
  const policyOf = (...parts: [string, string]): string | null => {
    const workflow = parsed(file(...parts));
    assert.equal(whyRefused(workflow, workflow.jobs[0]!), null);
    return egressOf(workflow, workflow.jobs[0]!);
  };
  assert.equal(policyOf('', ''), null);
  assert.equal(policyOf('env: { A: b }', '    env: { ONEJOB_EGRES: none }'), null);
  assert.equal(policyOf('env: { ONEJOB_EGRESS: none }', ''), 'none');
  assert.equal(policyOf('', '    env: { ONEJOB_EGRESS: example.org }'), 'example.org');
  assert.equal(
    policyOf('env: { ONEJOB_EGRESS: none }', '    env: { ONEJOB_EGRESS: "a.org:443" }'),
    'a.org:443',
  );
  assert.equal(
    policyOf('', '    env:\n      ONEJOB_EGRESS: |\n        a.org:443\n        *.b.org\n'),
    'a.org:443\n*.b.org\n',
  );
});

test('one that cannot be read refuses the job with its line, wherever it stands', () => {
  assert.match(
    refusal(file('env:\n  A: b\n  ONEJOB_EGRESS: all', '')),
    /^4:3: job 'a' cannot run: ONEJOB_EGRESS: "all" is none of audit, none/,
  );
  assert.match(
    refusal(file('', '    env: { A: b, ONEJOB_EGRESS: "a.org none" }')),
    /^6:18: job 'a' cannot run: ONEJOB_EGRESS: "none" stands alone/,
  );
  // Also where the job's own would count: who reads the file must not be misled.
  assert.match(
    refusal(file('env: { ONEJOB_EGRESS: "" }', '    env: { ONEJOB_EGRESS: none }')),
    /^2:8: job 'a' cannot run: ONEJOB_EGRESS: it is empty/,
  );
});

test('what is known only when the job runs, and what stands at a step, is no policy', () => {
  for (const value of ['${{ github.ref }}', 'a.org ${{ github.ref }}']) {
    const text = file('', `    env: { ONEJOB_EGRESS: "${value}" }`);
    assert.match(refusal(text), /^6:12: .*ONEJOB_EGRESS: it is written out as text/, value);
  }
  assert.match(
    refusal(file('', '', '        env: { ONEJOB_EGRESS: none }')),
    /^8:9: job 'a' cannot run: ONEJOB_EGRESS is for a whole job/,
  );
});
