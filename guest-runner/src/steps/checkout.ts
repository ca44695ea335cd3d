/**
 * `uses: actions/checkout` of the run's own repository, by git over the loopback listener.
 *
 * Promises: the credential is never an argument of a process; it is in the environment of our own
 * git and, where `persist-credentials` asks for it (the default, as in the action), in the
 * repository's configuration until the post step.
 */
import { execFile } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import type { ExprNode, UsesStep } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import { toTexts } from '../job/job-state.ts';
import { record } from '../job/record.ts';
import { readCheckoutInputs } from './checkout-inputs.ts';
import type { CheckoutInputs } from './checkout-inputs.ts';
import { logEnvironment } from './run-script.ts';
import { findProgram } from './shell.ts';
import type { StepRun } from './step-run.ts';

const ALWAYS: ExprNode = { kind: 'call', name: 'always', args: [] };
const SHA = /^[0-9a-f]{40}$/i;
/** What git allows in a name of a ref, and never an option. */
const REF = /^(?![-/])(?!.*(?:\.\.|@\{|\/\/))[^\s~^:?*[\\\p{Cc}]{1,1000}$/u;

/** What to fetch, where to put it, how to check it out. */
type Target = { from: string; to: string; checkout: string[]; isFullSha: boolean };

const credential = (token: string): string =>
  `AUTHORIZATION: basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;

/** The block of `.git/config` that lets later git commands of the job fetch. */
const configBlock = (serverUrl: string, token: string): string =>
  `[http "${serverUrl}/"]\n\textraheader = ${credential(token)}\n`;

function targetOf(ref: string, sha: string | undefined): Target {
  const from = sha ?? ref;
  const isFullSha = sha !== undefined;
  const part = (prefix: string): string | undefined =>
    ref.startsWith(prefix) ? ref.slice(prefix.length) : undefined;
  const branch = part('refs/heads/');
  if (branch !== undefined) {
    const to = `refs/remotes/origin/${branch}`;
    return { from, to, checkout: ['-B', branch, to], isFullSha };
  }
  const pull = part('refs/pull/');
  const to = pull === undefined ? ref : `refs/remotes/pull/${pull}`;
  if (ref.startsWith('refs/')) return { from, to, checkout: ['--detach', to], isFullSha };
  return { from, to: 'refs/onejob/checkout', checkout: ['--detach', from], isFullSha };
}

class Checkout {
  private readonly run: StepRun;
  private readonly inputs: CheckoutInputs;
  private readonly environment: Record<string, string>;
  private readonly git: string;
  private readonly directory: string;
  private readonly url: string;

  constructor(run: StepRun, inputs: CheckoutInputs, environment: Record<string, string>) {
    const { job } = run;
    const { layout, task } = job.parts;
    this.run = run;
    this.inputs = inputs;
    const git = findProgram('git', job.searchPath(run.env), layout.workspace);
    if (git === undefined) {
      throw new GuestError('step', 'actions/checkout needs git, which was not found in PATH.');
    }
    this.git = git;
    this.directory = resolve(layout.workspace, inputs.path);
    if (this.directory !== layout.workspace && !this.directory.startsWith(layout.workspace + sep)) {
      throw new GuestError(
        'step',
        `Repository path '${this.directory}' is not under '${layout.workspace}'`,
      );
    }
    this.url = `${job.serverUrl}/${task.source!.repository}`;
    this.environment = this.gitEnvironment(environment);
  }

  async execute(): Promise<number> {
    const { run, directory } = this;
    const { task } = run.job.parts;
    run.log.line(`Syncing repository: ${task.source!.repository}`);
    await this.prepareDirectory();
    const target = await this.target();
    await this.fetch(target);
    await this.command('checkout', ['--force', ...target.checkout]);
    run.outputs['commit'] = await this.ask('rev-parse', ['HEAD']);
    run.outputs['ref'] = this.inputs.ref || task.source!.ref;
    run.log.line(run.outputs['commit']);
    if (this.inputs.persistCredentials) {
      const config = join(directory, '.git', 'config');
      appendFileSync(config, configBlock(run.job.serverUrl, task.token));
      run.posts.unshift({
        step: run.step,
        frame: run.frame,
        name: `Post ${run.name}`,
        condition: ALWAYS,
        act: async (post) => dropOwnCredential(post, config),
      });
    }
    return 0;
  }

  /** Settings for our own git only; in the environment, as arguments are for all to see. */
  private gitEnvironment(environment: Record<string, string>): Record<string, string> {
    const { job } = this.run;
    const settings = [
      [`http.${job.serverUrl}/.extraheader`, credential(job.parts.task.token)],
      ['safe.directory', '*'],
      ['protocol.version', '2'],
      ['advice.detachedHead', 'false'],
      ['init.defaultBranch', 'main'],
      ['gc.auto', '0'],
    ];
    const variables = record({ ...environment, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C.UTF-8' });
    settings.forEach(([key, value], index) => {
      variables[`GIT_CONFIG_KEY_${index}`] = key!;
      variables[`GIT_CONFIG_VALUE_${index}`] = value!;
    });
    variables['GIT_CONFIG_COUNT'] = String(settings.length);
    return variables;
  }

  /** An empty repository with its origin, or the one an earlier checkout of the job left, cleaned. */
  private async prepareDirectory(): Promise<void> {
    const { directory, run } = this;
    mkdirSync(directory, { recursive: true });
    if (existsSync(join(directory, '.git')) && (await this.isOwn())) {
      if (this.inputs.clean) {
        await this.command('clean', ['-ffdx']);
        await this.command('reset', ['--hard', 'HEAD']);
      }
      dropCredential(run, join(directory, '.git', 'config'));
      return;
    }
    const names = readdirSync(directory);
    if (names.length > 0) run.log.line(`Deleting the contents of '${directory}'`);
    for (const name of names) rmSync(join(directory, name), { recursive: true, force: true });
    await this.command('init', ['-q', directory]);
    await this.command('remote', ['add', 'origin', this.url]);
  }

  private async isOwn(): Promise<boolean> {
    try {
      return (await this.ask('remote', ['get-url', 'origin'])) === this.url;
    } catch {
      return false;
    }
  }

  private async target(): Promise<Target> {
    const { source } = this.run.job.parts.task;
    const { ref } = this.inputs;
    if (ref === '' || ref === source!.ref) return targetOf(source!.ref, source!.sha);
    if (SHA.test(ref)) return targetOf('', ref);
    if (!REF.test(ref))
      throw new GuestError('step', `'${ref}' is not a name of a branch, tag or commit.`);
    if (ref.startsWith('refs/')) return targetOf(ref, undefined);
    const names = [`refs/heads/${ref}`, `refs/tags/${ref}`];
    const found = await this.ask('ls-remote', ['origin', ...names]);
    for (const name of names) if (found.includes(`\t${name}`)) return targetOf(name, undefined);
    throw new GuestError(
      'step',
      `A branch or tag with the name '${ref}' could not be found in this run's snapshot.`,
    );
  }

  private async fetch(target: Target): Promise<void> {
    const { fetchDepth, fetchTags, showProgress } = this.inputs;
    const common = [
      showProgress ? '--progress' : '--no-progress',
      '--prune',
      '--no-recurse-submodules',
      // The snapshot may be shallow itself.
      '--update-shallow',
    ];
    const single = `+${target.from}:${target.to}`;
    if (fetchDepth === 0) {
      const all = ['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*'];
      await this.command('fetch', [...common, 'origin', ...all]);
      // A branch may have moved on since the run was planned.
      if (target.isFullSha || !target.from.startsWith('refs/heads/')) {
        await this.command('fetch', [
          ...common.filter((one) => one !== '--prune'),
          '--no-tags',
          'origin',
          single,
        ]);
      }
      return;
    }
    const tags = fetchTags ? ['+refs/tags/*:refs/tags/*'] : [];
    const refspecs = [...new Set([single, ...(target.to.startsWith('refs/tags/') ? [] : tags)])];
    await this.command('fetch', [
      '--no-tags',
      ...common,
      `--depth=${fetchDepth}`,
      'origin',
      ...refspecs,
    ]);
  }

  /** A git command whose output is shown. */
  private async command(name: string, args: string[]): Promise<void> {
    const { run, directory, environment, git } = this;
    run.log.line(`[command]${[git, name, ...args].join(' ')}`);
    const exitCode = await run.runProcess({
      program: git,
      args: [name, ...args],
      directory,
      environment,
    });
    if (exitCode !== 0) {
      throw new GuestError(
        'step',
        `The process '${git} ${name}' failed with exit code ${exitCode}`,
      );
    }
  }

  /** A git command whose output is the answer. */
  private async ask(name: string, args: string[]): Promise<string> {
    try {
      const { stdout } = await promisify(execFile)(this.git, [name, ...args], {
        cwd: this.directory,
        env: this.environment,
      });
      return stdout.trim();
    } catch (error) {
      const { stderr } = error as { stderr?: string };
      throw new GuestError('step', `'git ${name}' failed: ${stderr?.trim() ?? ''}`, {
        cause: error,
      });
    }
  }
}

function dropCredential(run: StepRun, config: string): void {
  if (!existsSync(config)) return;
  const { job } = run;
  const text = readFileSync(config, 'utf8');
  const without = text.replaceAll(configBlock(job.serverUrl, job.parts.task.token), '');
  if (without !== text) writeFileSync(config, without);
}

/** @throws GuestError `step` or `unsupported`, EvaluationError */
export async function runCheckout(
  run: StepRun,
  step: UsesStep,
  environment: Record<string, string>,
): Promise<number> {
  const { job } = run;
  const given = toTexts(evaluateTemplate(step.with, run.scope));
  run.log.line(`##[group]Run ${step.uses}`);
  if (Object.keys(given).length > 0) run.log.line('with:');
  for (const [name, value] of Object.entries(given)) run.log.line(`  ${name}: ${value}`);
  logEnvironment(run);
  run.log.line('##[endgroup]');
  const names = Object.entries(given).map(([name, value]): [string, string] => [
    name.toLowerCase(),
    value,
  ]);
  const inputs = readCheckoutInputs(new Map(names), job.parts.task);
  return new Checkout(run, inputs, environment).execute();
}

function dropOwnCredential(run: StepRun, config: string): void {
  dropCredential(run, config);
  run.log.line('The credential was removed from the configuration of the repository.');
}
