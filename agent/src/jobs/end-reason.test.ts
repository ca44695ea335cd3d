/** Who is to blame, for every combination of observations that matters. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { END_REASONS, type EndReason, type FinishedMessage } from '@onejob/protocol';
import type { MachineEnd } from '../sandbox/driver.ts';
import { endReason, type Observed } from './end-reason.ts';

const NOTHING: Observed = {
  finished: undefined,
  violation: undefined,
  asked: undefined,
  machine: undefined,
  linkClosed: undefined,
  oomKills: 0,
  hostFailure: undefined,
  isHostDiskFull: false,
};
const finished = (reason: FinishedMessage['reason']): FinishedMessage => ({
  type: 'finished',
  conclusion: 'success',
  reason,
  message: 'said the runner',
  outputs: {},
  atMs: 0,
});
const machine = (cause: MachineEnd['cause']): MachineEnd => ({ cause, detail: `${cause} it was` });

const CASES: [what: string, observed: Partial<Observed>, reason: EndReason, message: RegExp][] = [
  ['steps completed', { finished: finished('steps_completed') }, 'steps_completed', /said/],
  ['a step failed', { finished: finished('step_failed') }, 'step_failed', /^said/],
  ['the runner saw a full disk', { finished: finished('disk_full') }, 'disk_full', /said/],
  [
    'a step failed on a host whose disk is full',
    { finished: finished('step_failed'), isHostDiskFull: true },
    'platform_error',
    /host's disk is full.*free some.*said/,
  ],
  [
    'the runner saw its disk full, because the host was',
    { finished: finished('disk_full'), isHostDiskFull: true },
    'platform_error',
    /host's disk is full/,
  ],
  [
    'steps completed on a host whose disk is full',
    { finished: finished('steps_completed'), isHostDiskFull: true },
    'steps_completed',
    /^said/,
  ],
  [
    'a step failed on a host that could not give it an action',
    { finished: finished('step_failed'), hostFailure: 'The host failed.' },
    'platform_error',
    /^The host failed\. said/,
  ],
  [
    'steps completed on a host that could not give it an action',
    { finished: finished('steps_completed'), hostFailure: 'The host failed.' },
    'steps_completed',
    /^said/,
  ],
  ['the runner met its deadline', { finished: finished('deadline') }, 'deadline', /said/],
  [
    'an expression was wrong',
    { finished: finished('invalid_expression') },
    'invalid_expression',
    /said/,
  ],
  ['a step is not supported', { finished: finished('unsupported') }, 'unsupported', /said/],
  [
    'a step failed after a kill for memory',
    { finished: finished('step_failed'), oomKills: 2 },
    'out_of_memory',
    /killed 2 processes.*said/,
  ],
  [
    'steps completed despite a kill for memory',
    { finished: finished('steps_completed'), oomKills: 1 },
    'steps_completed',
    /said/,
  ],
  [
    'finished before the cancel reached it',
    { finished: finished('steps_completed'), asked: 'cancelled' },
    'steps_completed',
    /said/,
  ],
  [
    'failed before the cancel reached it',
    { finished: finished('step_failed'), asked: 'cancelled' },
    'step_failed',
    /said/,
  ],
  [
    'cancelled when asked',
    { finished: finished('cancelled'), asked: 'cancelled' },
    'cancelled',
    /said/,
  ],
  [
    'cancelled by fail-fast',
    { finished: finished('cancelled'), asked: 'fail_fast' },
    'fail_fast',
    /said/,
  ],
  [
    'cancelled past its deadline',
    { finished: finished('cancelled'), asked: 'deadline' },
    'deadline',
    /said/,
  ],
  [
    'a runner that cancels itself',
    { finished: finished('cancelled') },
    'protocol_violation',
    /nobody asked/,
  ],
  [
    'finished, then the machine died',
    { finished: finished('steps_completed'), machine: machine('vmm_died') },
    'steps_completed',
    /said/,
  ],
  [
    'finished, then the link closed',
    { finished: finished('step_failed'), linkClosed: 'gone' },
    'step_failed',
    /said/,
  ],
  ['broke the protocol', { violation: 'a second hello' }, 'protocol_violation', /second hello/],
  [
    'broke the protocol, then everything went',
    { violation: 'x', machine: machine('runner_gone'), linkClosed: 'y' },
    'protocol_violation',
    /x/,
  ],
  [
    'broke the protocol while cancelled',
    { violation: 'x', asked: 'cancelled' },
    'protocol_violation',
    /x/,
  ],
  [
    'cancelled and killed',
    { asked: 'cancelled', machine: machine('killed') },
    'cancelled',
    /did not stop/,
  ],
  ['fail-fast and killed', { asked: 'fail_fast' }, 'fail_fast', /fail-fast/],
  ['past the deadline and killed', { asked: 'deadline' }, 'deadline', /timeout-minutes/],
  ['the monitor died', { machine: machine('vmm_died') }, 'vmm_died', /vmm_died it was.*platform/],
  [
    'the monitor died and the link with it',
    { machine: machine('vmm_died'), linkClosed: 'gone' },
    'vmm_died',
    /platform/,
  ],
  [
    'the monitor died after a kill for memory in the guest',
    { machine: machine('vmm_died'), oomKills: 1 },
    'vmm_died',
    /platform/,
  ],
  [
    'the runner went, memory was short',
    { machine: machine('runner_gone'), oomKills: 1 },
    'out_of_memory',
    /killed 1 process\)/,
  ],
  ['the runner went', { machine: machine('runner_gone') }, 'runner_killed', /runner_gone it was/],
  [
    'the link went, the machine lives',
    { linkClosed: 'the guest closed a carrier' },
    'runner_killed',
    /closed a carrier/,
  ],
  [
    'the link went, memory was short',
    { linkClosed: 'gone', oomKills: 3 },
    'out_of_memory',
    /3 processes/,
  ],
];

for (const [what, observed, reason, message] of CASES) {
  test(`${what}: ${reason}`, () => {
    const end = endReason({ ...NOTHING, ...observed });
    assert.equal(end.reason, reason);
    assert.match(end.message, message);
  });
}

test('the platform is blamed for nothing that a guest can say or do', () => {
  const guestSays = [
    'steps_completed',
    'step_failed',
    'invalid_expression',
    'out_of_memory',
    'disk_full',
    'deadline',
    'cancelled',
    'unsupported',
  ] as const;
  for (const said of [undefined, ...guestSays]) {
    for (const violation of [undefined, 'x']) {
      for (const gone of [undefined, machine('runner_gone')]) {
        const { reason } = endReason({
          ...NOTHING,
          finished: said === undefined ? undefined : finished(said),
          violation,
          machine: gone,
          linkClosed: 'gone',
        });
        assert.notEqual(
          END_REASONS[reason].blame,
          'platform',
          `${said} ${violation} ${gone?.cause}`,
        );
      }
    }
  }
});
