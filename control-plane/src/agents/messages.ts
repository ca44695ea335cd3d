/** Translates messages of the agent protocol, and checks what an agent says of itself. */
import type { AnnounceRequest, FinishRequest } from '@onejob/protocol/agent-service';
import { ControlPlaneError } from '../errors.ts';
import type { Finish } from '../leases/finish-job.ts';
import type { OfferedJob } from '../leases/offer-jobs.ts';
import type { announceAgent } from '../store/announce-agent.ts';

/** Counts and lengths nobody's honest host exceeds; they bound a row, and a screen. */
const MAX = { labels: 100, drivers: 20, slots: 1024, text: 255, note: 1000, buried: 10_000 };

type Announcement = Parameters<typeof announceAgent>[1];

export function checkAnnouncement(request: AnnounceRequest): Announcement {
  const wrong =
    request.hostName === '' || request.hostName.length > MAX.text
      ? 'host_name must be 1 to 255 characters'
      : request.labels.length > MAX.labels || request.labels.some((one) => one.length > MAX.text)
        ? `at most ${MAX.labels} labels of at most ${MAX.text} characters`
        : request.drivers.length > MAX.drivers
          ? `at most ${MAX.drivers} drivers`
          : request.slots < 0 || request.slots > MAX.slots
            ? `slots must be 0 to ${MAX.slots}`
            : request.buried.length > MAX.buried
              ? `at most ${MAX.buried} buried leases`
              : undefined;
  if (wrong !== undefined) {
    throw new ControlPlaneError('invalid_request', `The announcement is refused: ${wrong}.`);
  }
  return {
    hostName: request.hostName,
    labels: request.labels,
    drivers: request.drivers.map((driver) => ({
      name: driver.name.slice(0, MAX.text),
      works: driver.works,
      ownKernel: driver.ownKernel,
      preparing: driver.preparing,
      note: driver.note.slice(0, MAX.note),
    })),
    slots: request.slots,
    cpus: request.cpus,
    memoryBytes: Number(request.memoryBytes),
    version: request.agentVersion.slice(0, MAX.text),
  };
}

/** Egress records are checked where they are kept. */
export const toFinish = (request: FinishRequest): Finish => ({
  reason: request.reason,
  message: request.message,
  outputs: request.outputs,
  logRows: Number(request.logRows),
  notes: request.notes,
  egress: {
    records: request.egress.map((said) => ({
      atMs: Number(said.atMs),
      host: said.host,
      port: said.port,
      address: said.address === '' ? null : said.address,
      verdict: said.verdict,
      rule: said.rule,
      reason: said.reason === '' ? null : said.reason,
      bytesUp: Number(said.bytesUp),
      bytesDown: Number(said.bytesDown),
      durationMs: Number(said.durationMs),
    })),
    leftOut: Number(request.egressLeftOut),
  },
});

const GiB = 1024 ** 3;
/** The machine of a job that asks for none in particular. */
const DEFAULT_SHAPE = { cpus: 2, memoryBytes: 2 * GiB, diskBytes: 8 * GiB } as const;

/** The message of an offer. */
export const toOffer = (job: OfferedJob) => ({
  jobId: job.id,
  attempt: job.attempt,
  labels: job.labels,
  shape: {
    cpus: DEFAULT_SHAPE.cpus,
    memoryBytes: BigInt(DEFAULT_SHAPE.memoryBytes),
    diskBytes: BigInt(DEFAULT_SHAPE.diskBytes),
  },
  imageDigest: '',
  driver: job.driver,
});
