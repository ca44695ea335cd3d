/** The guest's end of a link after its hello, without a job: for what is measured on streams of it. */
import { openSessions, type Sessions } from '@onejob/guest-runner/carrier';
import { sayHello } from '@onejob/guest-runner/host';
import { GUEST_PROTOCOL } from '@onejob/protocol';

export async function openGreetedSessions(
  carrier: Parameters<typeof openSessions>[0],
): Promise<Sessions> {
  const sessions = await openSessions(carrier, async () => {});
  await sayHello(sessions.control, {
    protocol: GUEST_PROTOCOL,
    runnerVersion: 'bench',
    nodeVersion: process.version,
    uptimeMs: 0,
  });
  return sessions;
}
