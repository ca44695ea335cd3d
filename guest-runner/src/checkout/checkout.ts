/**
 * `uses: actions/checkout`, done by onejob itself with all inputs of the published action: the run's
 * own repository by git over the loopback listener, every other by git through the guard.
 *
 * Promises: no credential is ever an argument of a process or in the log (`credentials.ts`); nothing
 * asks a question, and no command of git runs without a limit (`git.ts`).
 */
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import type { UsesStep } from '@onejob/protocol';
import { warnOfInputs } from '../actions/inputs.ts';
import { addPost } from '../actions/register-post.ts';
import { logHead } from '../actions/run-action.ts';
import { GuestError } from '../errors.ts';
import { ALWAYS } from '../job/condition.ts';
import { toTexts } from '../job/job-state.ts';
import { findProgram } from '../steps/shell.ts';
import type { StepRun } from '../steps/step-run.ts';
import { Credentials, maskCredentials } from './credentials.ts';
import { findGit, Git } from './git.ts';
import type { Setting } from './git.ts';
import { CHECKOUT_INPUTS, readCheckoutInputs } from './inputs.ts';
import type { CheckoutInputs } from './inputs.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import { openSshAccess } from './ssh-access.ts';
import { fetchSubmodules, submoduleDirectories } from './submodules.ts';
import { fetchTarget, findTarget } from './target.ts';
import type { RunRef, Target } from './target.ts';
import { findDirectory, makeDirectory, prepareRepository } from './working-tree.ts';

/** @throws GuestError `step` */
function placeOf(run: StepRun, inputs: CheckoutInputs): Place {
  const { actions, task } = run.job.parts;
  const { repository } = task.contexts.github;
  return findPlace(inputs, {
    source: task.source,
    repository: typeof repository === 'string' ? repository : '',
    ownServer: run.job.serverUrl,
    otherServer: actions.serverUrl,
  });
}

/** What the run is for: of its snapshot, or as its event says. */
function refOfRun(run: StepRun): RunRef {
  const { contexts, source } = run.job.parts.task;
  if (source !== null) return source;
  const { ref, sha } = contexts.github;
  return { ref: typeof ref === 'string' ? ref : '', sha: typeof sha === 'string' ? sha : '' };
}

function settingsOf(inputs: CheckoutInputs, credentials: Credentials): Setting[] {
  return [
    ...credentials.settings,
    ...(inputs.setSafeDirectory ? [['safe.directory', '*'] satisfies Setting] : []),
    ['protocol.version', '2'],
    ['advice.detachedHead', 'false'],
    ['init.defaultBranch', 'main'],
    ['gc.auto', '0'],
  ];
}

class Checkout {
  private readonly run: StepRun;
  private readonly inputs: CheckoutInputs;
  private readonly place: Place;
  private readonly credentials: Credentials;
  private readonly git: Git;

  constructor(run: StepRun, inputs: CheckoutInputs, environment: Record<string, string>) {
    const { job } = run;
    this.run = run;
    this.inputs = inputs;
    this.place = placeOf(run, inputs);
    const { place } = this;
    const directory = findDirectory(job.parts.layout.workspace, inputs.path);
    const program = findGit(run);
    if (inputs.lfs) this.needLfs();
    const ssh = inputs.sshKey === '' ? undefined : openSshAccess(run, inputs, environment);
    this.credentials = new Credentials({ inputs, place, ssh }, job);
    const skips = inputs.lfs ? {} : { GIT_LFS_SKIP_SMUDGE: '1' };
    this.git = new Git(run, {
      program,
      directory,
      environment,
      settings: settingsOf(inputs, this.credentials),
      variables: { ...this.credentials.variables, ...skips },
    });
  }

  async execute(): Promise<void> {
    const { credentials, git, inputs, run } = this;
    let isDone = false;
    try {
      await this.bring();
      if (inputs.persistCredentials) {
        this.cleanLater();
        await credentials.persist(git, await submoduleDirectories(git, inputs));
        isDone = true;
      }
    } finally {
      if (!isDone) credentials.dispose();
    }
    run.outputs['commit'] = await git.ask('rev-parse', 'HEAD');
    run.log.line(run.outputs['commit']);
  }

  private async bring(): Promise<void> {
    const { credentials, git, inputs, place, run } = this;
    run.log.line(`Syncing repository: ${place.name}`);
    makeDirectory(git.directory);
    const isEarlier = await prepareRepository(run, git, { url: place.url, cleans: inputs.clean });
    if (isEarlier) await credentials.forget(git);
    const target = await findTarget(git, inputs, place, refOfRun(run));
    run.outputs['ref'] = target.name;
    if (inputs.lfs) await this.installLfs();
    this.sayWhatIsFetched();
    await fetchTarget(git, inputs, place, target);
    if (inputs.lfs && inputs.sparse.length === 0) {
      await git.insist('lfs', 'fetch', 'origin', target.to);
    }
    await this.choosePaths(isEarlier);
    await this.checkOut(target);
    if (inputs.submodules !== 'none') await fetchSubmodules(git, inputs, place);
  }

  private sayWhatIsFetched(): void {
    const { inputs, place, run } = this;
    if (!place.isOwn || inputs.filter === '') return;
    run.log.line(
      "The input 'filter' leaves nothing out here: the run's own repository is fetched whole.",
    );
  }

  private needLfs(): void {
    const { job, env } = this.run;
    if (findProgram('git-lfs', job.searchPath(env), job.parts.layout.workspace)) return;
    throw new GuestError(
      'step',
      "The input 'lfs' needs git-lfs, which was not found in PATH. Install it in a step before this one.",
    );
  }

  /** The snapshot of the run has no large files; those of its repository are where the others are. */
  private async installLfs(): Promise<void> {
    const { git, place } = this;
    await git.command('lfs', 'install', '--local');
    if (!place.isOwn || place.webUrl === '') return;
    await git.ask('config', '--local', 'remote.origin.lfsurl', `${place.webUrl}.git/info/lfs`);
  }

  private async choosePaths(isEarlier: boolean): Promise<void> {
    const { git, inputs } = this;
    if (inputs.sparse.length > 0) {
      const mode = inputs.coneMode ? '--cone' : '--no-cone';
      await git.command('sparse-checkout', 'set', mode, '--', ...inputs.sparse);
    } else if (isEarlier) {
      await git.command('sparse-checkout', 'disable');
    }
  }

  private async checkOut(target: Target): Promise<void> {
    const progress = this.inputs.showProgress ? '--progress' : '--no-progress';
    await this.git.command('checkout', progress, '--force', ...target.checkout);
  }

  private cleanLater(): void {
    const { credentials, git, run } = this;
    addPost(run, {
      step: run.step,
      name: `Post ${run.name}`,
      condition: ALWAYS,
      act: async (post) => {
        await credentials.remove(git);
        post.log.line('The credentials were removed from the configuration of the repository.');
      },
    });
  }
}

/** @throws GuestError `step`, MaskingError, EvaluationError */
export async function runCheckout(
  run: StepRun,
  step: UsesStep,
  environment: Record<string, string>,
): Promise<number> {
  run.debug('Loading inputs');
  const given = toTexts(evaluateTemplate(step.with, run.scope));
  run.debug('Loading env');
  const names = Object.entries(given).map(([name, value]): [string, string] => [
    name.toLowerCase(),
    value,
  ]);
  const inputs = readCheckoutInputs(new Map(names));
  maskCredentials(inputs, run.job);
  warnOfInputs(
    run,
    Object.keys(given),
    CHECKOUT_INPUTS.map((name) => ({ name })),
  );
  logHead(run, step, given);
  await new Checkout(run, inputs, environment).execute();
  return 0;
}
