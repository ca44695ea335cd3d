/** The largest event there may be, from the API through the agent and its link to a step. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EVENT_PAYLOAD_BYTES } from '@onejob/protocol';
import { assertBuried, type Constellation, startConstellation } from '@onejob/testing';

let all: Constellation;
before(async () => {
  all = await startConstellation();
});
after(async () => {
  const { agentDirectory } = all;
  await all[Symbol.asyncDispose]();
  await assertBuried(agentDirectory);
});

test('an event of the largest size is read by a step as it was sent', async () => {
  const ended = await all.run({
    workflow: `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: echo "it has $(wc -c < "$GITHUB_EVENT_PATH") bytes"
      - if: endsWith(github.event.text, 'xy')
        run: echo seen
`,
    event: {
      name: 'push',
      payload: { text: `${'x'.repeat(EVENT_PAYLOAD_BYTES - '{"text":"y"}'.length)}y` },
    },
  });
  assert.equal(ended.run.conclusion, 'success', ended.run.jobs[0]?.endMessage);
  const said = JSON.stringify(ended);
  assert.ok(said.includes(`it has ${EVENT_PAYLOAD_BYTES} bytes`) && said.includes('seen'));
});
