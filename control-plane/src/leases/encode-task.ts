/**
 * The task of a job as it is handed on. One that is too large for the link to the guest becomes its own
 * refusal: the job ends with a sentence that names the largest part, and not with a broken link.
 */
import { type JobTask, TASK_BYTES } from '@onejob/protocol';

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');

/** What a task may be large by, as people know it. */
function largestPart({ contexts, env, job, secrets }: JobTask): string {
  const { event, ...github } = contexts.github;
  const parts: [string, number][] = [
    ['the payload of its event', bytesOf(event)],
    ['the outputs of the jobs it needs', bytesOf(contexts.needs)],
    ['its inputs', bytesOf(contexts.inputs)],
    ['its matrix', bytesOf(contexts.matrix)],
    ['the variables of the run', bytesOf(contexts.vars) + bytesOf(env)],
    ['its secrets', bytesOf(secrets)],
    ['its steps', bytesOf(job) + bytesOf(github)],
  ];
  const [name, bytes] = parts.reduce((one, other) => (other[1] > one[1] ? other : one));
  return `${name} (${bytes} bytes)`;
}

function refusal(task: JobTask, bytes: number): JobTask {
  const { file, key } = task.job;
  const problem =
    `${file}: job '${key}' cannot be started: what it is given has ${bytes} bytes, and may have ` +
    `${TASK_BYTES}. The largest part is ${largestPart(task)}; make that smaller.`;
  const { repository, workflow_ref: workflow } = task.contexts.github;
  return {
    ...task,
    job: { ...task.job, steps: [], env: [], outputs: null, environment: null },
    contexts: {
      github: { repository: repository ?? '', workflow_ref: workflow ?? '', event: {} },
      needs: {},
      strategy: {},
      matrix: null,
      job: {},
      vars: {},
      inputs: {},
    },
    env: {},
    secrets: {},
    problem,
  };
}

/** At most TASK_BYTES of JSON. */
export function encodeTask(task: JobTask): Uint8Array {
  const text = Buffer.from(JSON.stringify(task));
  if (text.length <= TASK_BYTES) return text;
  return Buffer.from(JSON.stringify(refusal(task, text.length)));
}
