/** Planned jobs for tests of what is shown of them. */
import type { Plan, PlannedJobView } from '@onejob/protocol';

export const makePlannedJob = (given: Partial<PlannedJobView>): PlannedJobView => {
  const key = given.key ?? 'a';
  return {
    key,
    name: key,
    needs: [],
    runsOn: ['linux'],
    legs: [{ name: key, runsOn: ['linux'], matrix: {}, values: null }],
    condition: 'success()',
    verdict: { state: 'runs', why: '' },
    calls: null,
    settings: [],
    env: [],
    steps: [],
    refused: null,
    at: { line: 3, column: 3 },
    ...given,
  };
};

export const makePlan = (
  jobs: PlannedJobView[],
  given: Partial<Plan['workflows'][number]> = {},
): Plan => ({
  workflows: [
    {
      file: '.github/workflows/ci.yml',
      name: 'ci',
      triggered: true,
      why: '',
      events: ['push'],
      inputs: [],
      settings: [],
      env: [],
      jobs,
      warnings: [],
      referencedWorkflows: [],
      ...given,
    },
  ],
});
