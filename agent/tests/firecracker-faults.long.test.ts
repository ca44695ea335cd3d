/** What becomes of a machine of Firecracker's whose monitor misbehaves at any step of its way up. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { FirecrackerLab, REQUESTS, whyNoJail } from './_firecracker-lab.ts';
import type { Fault } from './_firecracker-options.ts';
import { SandboxLab } from './_sandbox-lab.ts';

if (whyNoJail !== undefined) test('faults of firecracker', { skip: whyNoJail }, () => {});
else await describeFaults();

async function describeFaults(): Promise<void> {
  const place = await FirecrackerLab.open();
  after(() => place.close());

  const failWith = async (fault: Fault, bootTimeoutMs?: number) =>
    await failIn(place, fault, bootTimeoutMs);

  describe('faults of firecracker', () => {
    test('whatever Firecracker refuses is told in its words, and leaves nothing', async () => {
      for (const request of REQUESTS) {
        const error = await failWith({ kind: 'refuses', request, message: 'no such thing' });
        assert.equal(error.code, 'boot_failed');
        assert.match(
          error.message,
          new RegExp(`refused ${request} with status 400: no such thing\\. .*docs/drivers\\.md`),
        );
      }
      const garbled = await failWith({ kind: 'refuses', request: 'PUT /vsock' });
      assert.match(garbled.message, /refused PUT \/vsock with status 400: <html>/);
    });

    test('a Firecracker that ends at any request is told with its status and last words', async () => {
      for (const request of ['GET /', ...REQUESTS]) {
        const error = await failWith({ kind: 'dies_at', request, status: 148 });
        assert.equal(error.code, 'boot_failed');
        assert.match(
          error.message,
          /ended while it came up: Firecracker ended with exit status 148/,
        );
        assert.ok(error.message.includes(`Firecracker said: dies at ${request}`), error.message);
      }
      const jailer = await failWith({ kind: 'jailer', status: 1 });
      assert.match(jailer.message, /ended while it came up: Firecracker ended with exit status 1/);
      const within = await failWith({ kind: 'vsock', how: 'dies' });
      assert.match(within.message, /exit status 150; Firecracker said: a thread panicked/);
    });

    test('what never comes has an end: the API, an answer, a guest that listens', async () => {
      const faults: Fault[] = [
        { kind: 'no_api' },
        { kind: 'hangs_at', request: 'GET /' },
        { kind: 'hangs_at', request: 'PUT /actions' },
        { kind: 'vsock', how: 'silent' },
        { kind: 'vsock', how: 'nobody' },
      ];
      for (const fault of faults) {
        const error = await failWith(fault, 1_500);
        assert.equal(error.code, 'boot_timeout', JSON.stringify(fault));
        assert.match(error.message, /did not listen for its agent in 1500 ms: .*docs\/drivers\.md/);
      }
    });

    test('a vsock that answers something else is no Firecracker', async () => {
      for (const [how, said] of [
        ['wrong', '"HTTP/1.1 400 B"'],
        ['endless', '"OK 10737418240"'],
      ] as const) {
        const error = await failWith({ kind: 'vsock', how });
        assert.equal(error.code, 'link_broken');
        assert.ok(error.message.includes(said.slice(0, 14)), error.message);
      }
    });
  });
}

/** Provisions with this fault; asserts that nothing is left. */
async function failIn(
  place: FirecrackerLab,
  fault: Fault,
  bootTimeoutMs?: number,
): Promise<Error & { code?: string }> {
  await using lab = await SandboxLab.open(place.image, place.guestRunnerPath);
  const driver = place.driver(lab.hostMarker, { fault }, { bootTimeoutMs });
  const sandbox = await lab.newSandbox();
  const error = await driver.provision(sandbox.request, sandbox.stack).then(
    () => assert.fail(`provisioned in spite of ${JSON.stringify(fault)}`),
    (thrown: unknown) => thrown as Error & { code?: string },
  );
  await lab.bury(sandbox);
  return error;
}
