/** The context of the event, and a client of the API: pages, requests, errors. */
import * as core from '@actions/core';
import * as github from '@actions/github';

async function run(): Promise<void> {
  const { context } = github;
  core.info(`${context.eventName} ${context.payload.action} by ${context.actor}`);
  const octokit = github.getOctokit(core.getInput('token'), {
    baseUrl: core.getInput('github-api-url'),
  });
  const { owner, repo, number } = context.issue;
  const issue = { owner, repo, issue_number: number };
  const { listLabelsOnIssue, addLabels } = octokit.rest.issues;
  const labels = await octokit.paginate(listLabelsOnIssue, { ...issue, per_page: 2 });
  const names = labels.map(({ name }) => name);
  core.info(`${owner}/${repo}#${number} has ${names.join(', ')}`);
  const label = core.getInput('label');
  const { data } = await addLabels({ ...issue, labels: [label] });
  core.setOutput('labels', data.map(({ name }) => name).join(' '));
}

void run().catch((error: unknown) => core.setFailed(error instanceof Error ? error : 'failed'));
