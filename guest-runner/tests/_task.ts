/** Compiled jobs for tests, as the control plane would make them. */
import type {
  CompiledJob,
  CompiledStep,
  ExprNode,
  JobId,
  JobTask,
  RepositoryName,
  RunId,
  RunStep,
  Template,
  UsesStep,
} from '@onejob/protocol';

export const call = (name: string, ...args: ExprNode[]): ExprNode => ({ kind: 'call', name, args });
export const text = (value: string): ExprNode => ({ kind: 'literal', value });

/** `a.b.c` */
export function path(dotted: string): ExprNode {
  const [first, ...rest] = dotted.split('.');
  let node: ExprNode = { kind: 'context', name: first! };
  for (const key of rest) node = { kind: 'index', of: node, key: text(key) };
  return node;
}

export const expr = (node: ExprNode, source = 'test'): Template => ({
  expr: node,
  source,
  at: { line: 7, column: 9 },
});

export const map = (values: Record<string, Template>): Template => ({
  map: Object.entries(values).map(([key, value]) => ({ key, value })),
});

type StepParts = Partial<Omit<RunStep, 'kind' | 'index'>>;

const base = {
  name: null,
  at: { line: 10, column: 7 },
  condition: call('success'),
  env: null,
  continueOnError: false,
  timeoutMinutes: null,
} satisfies Partial<RunStep>;

export const run = (script: Template, parts: StepParts = {}): CompiledStep => ({
  ...base,
  kind: 'run',
  index: 0,
  id: '__run',
  script,
  shell: null,
  workingDirectory: null,
  ...parts,
});

export const checkout = (
  inputs: Record<string, Template> = {},
  parts: StepParts = {},
): UsesStep => ({
  ...base,
  kind: 'uses',
  index: 0,
  id: '__actions_checkout',
  uses: 'actions/checkout@v4',
  action: { kind: 'repository', owner: 'actions', repository: 'checkout', path: '', ref: 'v4' },
  with: map(inputs),
  ...parts,
});

/** A step that uses an action of the repository. */
export const uses = (place: string, parts: Partial<UsesStep> = {}): UsesStep => ({
  ...base,
  kind: 'uses',
  index: 0,
  id: '__self',
  uses: place,
  action: { kind: 'local', path: place },
  with: null,
  ...parts,
});

export type TaskParts = Partial<Omit<JobTask, 'job' | 'contexts'>> & {
  job?: Partial<CompiledJob>;
  contexts?: Partial<JobTask['contexts']>;
};

export function makeTask(steps: CompiledStep[], parts: TaskParts = {}): JobTask {
  const { job, contexts, ...rest } = parts;
  return {
    version: 1,
    jobId: '01990000-0000-7000-8000-000000000001' as JobId,
    runId: '01990000-0000-7000-8000-000000000002' as RunId,
    attempt: 1,
    job: {
      version: 1,
      file: '.github/workflows/ci.yml',
      key: 'build',
      name: 'build',
      steps: steps.map((step, index) => ({ ...step, index })),
      env: [],
      defaults: { shell: null, workingDirectory: null },
      outputs: null,
      permissions: {},
      environment: null,
      timeoutMinutes: null,
      continueOnError: false,
      container: null,
      services: null,
      ...job,
    },
    contexts: {
      github: {
        repository: 'local/sample',
        repository_owner: 'local',
        event_name: 'push',
        event: { after: 'abc' },
        ref: 'refs/heads/main',
        ref_name: 'main',
        sha: 'a'.repeat(40),
        run_id: '12',
        job: 'build',
      },
      needs: {},
      strategy: {},
      matrix: null,
      job: {},
      vars: {},
      inputs: {},
      ...contexts,
    },
    env: {},
    secrets: {},
    token: 'tok-0123456789abcdef',
    source: {
      repository: 'local/sample' as RepositoryName,
      sha: 'a'.repeat(40),
      ref: 'refs/heads/main',
    },
    results: null,
    jobTimeoutMs: 600_000,
    ...rest,
  };
}
