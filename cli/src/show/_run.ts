/** For tests: runs and jobs as the API tells them, with what a test does not care about filled in. */
import type { Job, LogRow, Run } from '@onejob/protocol';

export function makeJob(some: Partial<Job> = {}): Job {
  return {
    id: 'job-1',
    runId: 'run-1',
    key: 'test',
    name: 'test',
    attempt: 1,
    state: 'queued',
    conclusion: null,
    waitingReason: null,
    waitsFor: null,
    endReason: null,
    endMessage: '',
    needs: [],
    labels: ['ubuntu-latest'],
    driver: '',
    driverNote: '',
    host: '',
    sandboxId: '',
    cancelRequested: false,
    createdAtMs: 1000,
    queuedAtMs: null,
    leasedAtMs: null,
    adoptedAtMs: null,
    finishedAtMs: null,
    phasesMs: {},
    steps: [],
    annotations: [],
    annotationCount: 0,
    summaries: [],
    actions: [],
    outputs: {},
    environment: null,
    notes: [],
    log: { rows: 0, sealed: false, missingRows: null },
    ...some,
  };
}

export function makeRun(jobs: Job[], some: Partial<Run> = {}): Run {
  return {
    id: 'run-1',
    number: 7,
    repository: 'local/test',
    workflow: '.github/workflows/ci.yml',
    workflowName: 'ci',
    name: 'ci',
    event: 'push',
    ref: 'refs/heads/main',
    sha: 'a'.repeat(40),
    actor: 'Ada',
    attempt: 1,
    triggeringActor: 'Ada',
    driver: 'auto',
    state: 'running',
    conclusion: null,
    createdAtMs: 1000,
    startedAtMs: 1000,
    finishedAtMs: null,
    warnings: [],
    referencedWorkflows: [],
    jobs,
    ...some,
  };
}

export const makeRows = (...texts: string[]): LogRow[] =>
  texts.map((text) => ({ step: 0, atMs: 1000, text }));
