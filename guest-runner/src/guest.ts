/**
 * The guest runner's life: link, hello, identity, ready, one job, finished.
 *
 *     connect -> hello -> identity (own machine) -> ready -> job -> finished -> end
 *        '-> warmed up, and from there on in every machine that is restored from this one
 *
 * Promises: one job and no second; if the link's control side ends first, every process of the job
 * is killed. Start path: Node's built-ins and little of our own; the job's modules are loaded while
 * the host answers hello. No random source is used before the machine has its identity, and no
 * secret is made here at all: a restored snapshot would make the same one again.
 */
import { readFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { HostHello, HostMessage, JobTask } from '@onejob/protocol';
import type { GuestConfig } from './config/config.ts';
import { GuestError, messageOf } from './errors.ts';
import type { JobRun } from './job/run-job.ts';
import { openSessions } from './link/carrier.ts';
import { HostControl, openLogStream, sayHello } from './link/host.ts';
import { INIT_DESCRIPTOR, takeIdentity } from './link/identity.ts';
import { GUEST_PROTOCOL } from './link/names.ts';
import { LEAVE_MS, LOG_ACKNOWLEDGE_MS } from './limits.ts';
import { JOB_ROW, LogSender } from './logs/log-sender.ts';
import { RUNNER_VERSION } from './version.ts';

function uptimeMs(): number {
  const seconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
  return Number.isFinite(seconds) ? Math.round(seconds * 1000) : 0;
}

/** What the host asks for, kept until somebody can do it. */
class HostWishes {
  readonly task: Promise<JobTask>;
  private readonly giveTask: (task: JobTask) => void;
  private job: JobRun | undefined;
  private waiting: ((job: JobRun) => void)[] = [];

  constructor() {
    const { promise, resolve } = Promise.withResolvers<JobTask>();
    this.task = promise;
    this.giveTask = resolve;
  }

  take(message: HostMessage): void {
    if (message.type === 'job') this.giveTask(message.task);
    else if (message.type === 'cancel') this.tell((job) => job.cancel(message.reason, message));
    else if (message.type === 'kill') this.tell((job) => void job.kill());
  }

  start(job: JobRun): void {
    this.job = job;
    for (const wish of this.waiting.splice(0)) wish(job);
  }

  private tell(wish: (job: JobRun) => void): void {
    if (this.job) wish(this.job);
    else this.waiting.push(wish);
  }
}

async function hello(session: ClientHttp2Session, config: GuestConfig): Promise<HostHello> {
  const isOwnMachine = config.carrier.kind === 'virtio';
  const answer = await sayHello(session, {
    protocol: GUEST_PROTOCOL,
    runnerVersion: RUNNER_VERSION,
    nodeVersion: process.version,
    uptimeMs: isOwnMachine ? uptimeMs() : 0,
  });
  if (isOwnMachine) await takeIdentity(answer, new Socket({ fd: INIT_DESCRIPTOR }).unref());
  return answer;
}

/** For a machine of which a snapshot is made: see rehearse.ts, which is loaded for it alone. */
async function warmUp(config: GuestConfig): Promise<void> {
  const { rehearse } = await import('./warm-up/rehearse.ts');
  await rehearse(config);
}

/** Runs one job; resolves when the host knows its end. @throws GuestError */
export async function runGuest(config: GuestConfig): Promise<void> {
  const { control: session, bulk } = await openSessions(
    config.carrier,
    async () => await warmUp(config),
  );
  try {
    const answered = hello(session, config);
    answered.catch(() => {}); // awaited below
    const { JobRun } = await import('./job/run-job.ts');
    const { Loopback } = await import('./proxy/loopback.ts');
    const { serveUnproxied } = await import('./proxy/unproxied.ts');
    const loopback = Loopback.listen(() => bulk);
    loopback.catch(() => {}); // the job says it
    const { hostname, actions, steered } = await answered;
    const wishes = new HostWishes();
    const host = new HostControl(session, (message) => wishes.take(message));
    host.send({ type: 'ready' });
    const by = config.carrier.kind === 'virtio' ? 'init' : steered ? 'steering' : undefined;
    const unproxied = by && serveUnproxied(async () => await bulk, by);
    unproxied?.catch(() => {}); // awaited below
    const task = await Promise.race([wishes.task, host.ended]);
    if (task === undefined)
      throw new GuestError('link_failed', 'the host left before it gave a job');
    const log = new LogSender(openLogStream(session));
    const job = new JobRun(task, {
      config,
      hostname,
      host,
      log,
      loopback,
      actions: { ...actions, bulk: async () => await bulk },
    });
    await unproxied?.catch((error: unknown) => {
      if (by === 'init') throw error;
      log.append(
        JOB_ROW,
        `##[warning]Programs that know no proxy reach nothing: ${messageOf(error)}`,
      );
    });
    wishes.start(job);
    const finished = await Promise.race([job.run(), host.ended]);
    if (finished === undefined) {
      await job.kill();
      throw new GuestError('link_failed', 'the link ended while the job was running');
    }
    await log.finish(LOG_ACKNOWLEDGE_MS);
    host.send({ type: 'finished', ...finished, atMs: Date.now() });
    await host.finish();
    // The host ends its half once it has read the last message.
    await Promise.race([host.ended, delay(LEAVE_MS, undefined, { ref: false })]);
  } finally {
    session.destroy();
    void bulk.then(
      (one) => one.destroy(),
      () => {},
    );
  }
}
