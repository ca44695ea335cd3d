/** Secrets within the limits of number and size that no job could mask together: refused with the request. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { maxSecretStates, SecretMasker } from '@onejob/masking';
import { TestAgent } from './_agent.ts';
import { Platform, RUN } from './_platform.ts';

const ONE_JOB = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;

const SIGNS = `aB9'"\\/+&<>?!$#%={}`;

/** Of a size that is allowed, with signs that every encoding writes in its own way. */
const longSecret = (): string =>
  Array.from(randomBytes(16_000), (byte) => SIGNS[byte % SIGNS.length]).join('');

/** As many as fit, by the masker itself; and one more. */
function secretsThatFit(): { fit: Record<string, string>; next: string } {
  const masker = new SecretMasker({ maxStates: maxSecretStates });
  const fit: Record<string, string> = {};
  for (let at = 0; ; at++) {
    const next = longSecret();
    try {
      masker.add(next);
    } catch {
      return { fit, next };
    }
    fit[`S${at}`] = next;
  }
}

test('secrets that fit a masker run, and an agent can mask them; one more is refused with what to do', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': ONE_JOB });
  const { fit, next } = secretsThatFit();
  assert.ok(Object.keys(fit).length > 0);
  const tooMany = { ...RUN, sha, secrets: { ...fit, ONE_MORE: next } };
  const refused = await platform.api('POST', '/runs', tooMany);
  assert.equal(refused.status, 422, refused.text);
  assert.match(refused.text, /"secrets_unmaskable"/);
  assert.match(
    refused.text,
    new RegExp(`${Object.keys(fit).length} of \\d+ fit, ONE_MORE does not`),
  );
  assert.ok(!refused.text.includes(next.slice(40, 60)));
  const run = await platform.createRuns({ sha, secrets: fit });
  const leased = await agent.take();
  const { maskValues } = await leased.adopt();
  const masker = new SecretMasker();
  for (const value of maskValues) masker.add(value);
  masker.add(btoa(`x-access-token:${leased.task?.token ?? ''}`));
  await leased.finish();
  const again = { failed: false, jobs: [], actor: 'ada', debug: false };
  const rerun = await platform.api('POST', `/runs/${run.runs[0]?.id}/rerun`, {
    ...again,
    secrets: { ...fit, ONE_MORE: next },
  });
  assert.deepEqual([rerun.status, /"secrets_unmaskable"/.test(rerun.text)], [422, true]);
});
