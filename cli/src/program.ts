/**
 * Commands and flags, with help a newcomer can learn from. What a command needs is loaded when it
 * is called: help and mistakes answer at once.
 */
import { Argument, Command, CommanderError, Option } from 'commander';
import type { ReapFlags } from './commands/host.ts';
import type { Gate, PromoteFlags, ReportFlags } from './commands/image-promotion.ts';
import type { LintFlags } from './commands/lint.ts';
import type { ProveFlags } from './commands/prove.ts';
import type { RerunFlags } from './commands/rerun.ts';
import type { RunFlags } from './commands/run-options.ts';
import type { LogFlags } from './commands/stored-runs.ts';
import type { UpFlags } from './commands/up.ts';
import { type Shell, SHELLS } from './completion/scripts.ts';
import { CliError } from './errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { reportError } from './show/report-error.ts';

const collect = (word: string, words: string[]): string[] => [...words, word];

const EXIT_CODE_HELP = `
Exit codes:
    0  every job succeeded or was skipped
    1  a job failed, timed out or was refused; lint found something
    2  wrong flags or arguments, or a job, matrix value or input the workflow does not have
    3  the input cannot be run, or there is none (workflow errors, no checkout, nothing to
       run, no such run, image or file)
    4  the platform failed; no job's fault
  130  cancelled`;

const FIRST_STEPS_HELP = `
First steps, in a git checkout with .github/workflows:
  onejob doctor      what this host can do
  onejob run --list  what there is to run
  onejob run         everything a push would start, uncommitted changes included
`;

const RUN_HELP = `
Examples:
  onejob run                           everything that a push would start
  onejob run --list                    what there is, and what of it would run
  onejob run --graph                   which job waits for which
  onejob run -j test --matrix node:24  one job, one leg of its matrix
  onejob run -j test --watch           again whenever a file changes
  onejob run -e workflow_dispatch --input name=value
  TOKEN=... onejob run -s TOKEN        a secret from the environment, not from the command line

Every job boots a machine of its own. --driver process runs trusted jobs without isolation; those
that root starts are a user without rights.
Ctrl-C cancels, a second Ctrl-C kills; nothing of the jobs is left on this host.
`;

const LINT_HELP = `
A path is a workflow file, a directory with workflows, or "-" for standard input; without any:
.github/workflows of the current directory. No git repository is needed.
What each rule finds and how to mend it: docs/lint.md

Exit codes: 0 no error found (with --strict: nothing at all), 1 errors found, 3 nothing to read.
`;

const PROVE_HELP = `
Classes: escape, identity, network, credentials, persistence, resources, burial.
As root the attacks run on a host of their own (namespaces): the real one is not touched. Each has a
positive control; an attack whose control does not get through does not count: docs/prove.md

Exit codes: 0 attacks held and none got through, 1 one got through or none counted, 3 a report that
does not verify, 4 the proof could not be made.
`;

const COMPLETION_HELP = `
  bash  eval "$(onejob completion bash)"     in ~/.bashrc
  zsh   eval "$(onejob completion zsh)"      in ~/.zshrc, after compinit
  fish  onejob completion fish | source      in config.fish
`;

const SECURITY_DATA_HELP =
  "a file of Debian's security data (else security-data.json in the cache directory)";

type Settle = (code: Promise<ExitCode>) => Promise<void>;
type DataDirectory = () => string | undefined;

/** Runs the command line; never throws, never exits: answers the exit code. */
export async function runProgram(words: readonly string[]): Promise<ExitCode> {
  ignoreClosedOutput();
  let code: ExitCode = EXIT.success;
  const settle: Settle = async (result) => {
    code = await result;
  };
  const program = makeProgram(settle);
  if (words.length === 0) {
    program.outputHelp();
    return EXIT.success;
  }
  try {
    await program.parseAsync(withoutHelpOfNothing(program, words), { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.success : EXIT.usage;
    return reportError(error, process.stderr);
  }
}

/**
 * A reader that went away (`| head -1`) is no error; commands that run on notice it themselves. For
 * the rest of the process: what was written last may fail after the command has ended.
 */
function ignoreClosedOutput(): void {
  const ignore = (): void => {};
  process.stdout.on('error', ignore);
  process.stderr.on('error', ignore);
}

/** Who asks for help of a command that is not there (`help rnu`) is told so, not shown other help. */
function withoutHelpOfNothing(program: Command, words: readonly string[]): readonly string[] {
  if (!words.some((word) => ['help', '-h', '--help'].includes(word))) return words;
  const path: string[] = [];
  let command = program;
  for (const [at, word] of words.entries()) {
    const isGroup = command.commands.length > 0;
    if (word.startsWith('-') || words[at - 1] === '--data-dir') continue;
    if (isGroup && word === 'help') continue;
    const inner = command.commands.find((one) => one.name() === word);
    if (inner === undefined) return isGroup ? [...path, word] : words;
    path.push(word);
    command = inner;
  }
  return words;
}

export function makeProgram(settle: Settle): Command {
  const program = new Command('onejob')
    .description('Every CI job gets its own machine, once.')
    .usage('[--data-dir <directory>] <command> [options]')
    .version('0.1.0', '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help, of a command with: onejob <command> --help')
    .option(
      '--data-dir <directory>',
      'where runs, logs and repositories are kept\n(else ONEJOB_DATA_DIR, else ~/.local/share/onejob)',
    )
    .showSuggestionAfterError()
    .configureHelp({ optionDescription: describeOption })
    .configureOutput({ outputError: (text, write) => write(withHint(text)) })
    .exitOverride()
    .addHelpText('after', FIRST_STEPS_HELP)
    .addHelpText('after', EXIT_CODE_HELP.slice(1));
  const dataDirectory: DataDirectory = () => {
    const { dataDir } = program.opts<{ dataDir?: string }>();
    if (dataDir !== '') return dataDir;
    throw new CliError('usage', '--data-dir is empty. Name a directory, or leave the flag out.');
  };
  program.commandsGroup('Run workflows:');
  addRun(program, settle, dataDirectory);
  addRerun(program, settle, dataDirectory);
  addStored(program, settle, dataDirectory);
  addLint(program, settle);
  program.commandsGroup('This host:');
  addUp(program, settle, dataDirectory);
  addHost(program, settle, dataDirectory);
  addImage(program, settle);
  addCompletion(program, settle);
  program.helpCommand('help [command]', 'show help of a command');
  pointToHelp(program, 'onejob');
  return program;
}

/** Mistakes are told as all others are; one that newcomers make is told with what they meant. */
function withHint(text: string): string {
  const meant = text.includes("too many arguments for 'run'")
    ? 'A job is chosen with --job <key>, a workflow with --workflows <path>.\n'
    : '';
  return text.replace(/^error: /, 'onejob: ') + meant;
}

/** Choices and defaults where they say something: not that a flag is off and a list is empty. */
function describeOption({ description, argChoices, defaultValue }: Option): string {
  const notes: string[] = [];
  if (argChoices !== undefined) notes.push(argChoices.join(', '));
  if (typeof defaultValue === 'string') notes.push(`default: ${defaultValue}`);
  return notes.length === 0 ? description : `${description} (${notes.join('; ')})`;
}

/** After a mistake: where to read on, for the very command. */
function pointToHelp(command: Command, path: string): void {
  command.showHelpAfterError(`See: ${path} --help`);
  command.helpOption('-h, --help', 'show this help');
  for (const inner of command.commands) pointToHelp(inner, `${path} ${inner.name()}`);
}

function addRun(program: Command, settle: Settle, dataDirectory: DataDirectory): void {
  program
    .command('run')
    .description("run this checkout's workflows, uncommitted changes included")
    .optionsGroup('What to run:')
    .option(
      '-W, --workflows <path>',
      'only this workflow file or directory (repeatable)',
      collect,
      [],
    )
    .option('-j, --job <key>', 'only this job and what it needs (repeatable)', collect, [])
    .option('--matrix <key:value>', 'only matrix legs with this value (repeatable)', collect, [])
    .option('-e, --event <name>', 'the event that happens', 'push')
    .option('--event-file <file>', 'JSON whose fields replace those of the event')
    .optionsGroup('Values (repeatable):')
    .option(
      '-s, --secret <NAME[=value]>',
      'a secret; without value: from the environment, or asked',
      collect,
      [],
    )
    .option('--secret-file <file>', 'secrets as NAME=value lines')
    .option('--var <NAME=value>', 'a configuration variable (vars.NAME)', collect, [])
    .option('--env <NAME=value>', 'a variable of every step', collect, [])
    .option('--input <name=value>', 'an input of workflow_dispatch', collect, [])
    .optionsGroup('How to run it:')
    .option('-l, --list', 'list the jobs, and why each would run or not; run nothing', false)
    .option('--graph', 'show the jobs as a tree of what needs what; run nothing', false)
    .option('-n, --dry-run', 'show the plan with values and steps, run nothing', false)
    .option('--watch', 'run again whenever files of the checkout change, until Ctrl-C', false)
    .option('--json', 'events as JSON, one a line, the last "finished"; a plan as one', false)
    .addOption(
      new Option('--driver <name>', 'how machines are made')
        .choices(['auto', 'qemu', 'firecracker', 'gvisor', 'docker', 'process'])
        .default('auto'),
    )
    .addOption(networkOption())
    .option('--image <name>', 'a stored guest image (see onejob image list)')
    .option('--keep', "keep the sandbox's files after its end (see onejob reap --kept)", false)
    .addHelpText('after', RUN_HELP)
    .addHelpText('after', EXIT_CODE_HELP.slice(1))
    .action(async (flags: RunFlags) => {
      if (flags.watch) {
        const { watch } = await import('./commands/watch.ts');
        return await settle(watch(flags, dataDirectory()));
      }
      const { run } = await import('./commands/run.ts');
      await settle(run(flags, dataDirectory()));
    });
}

const networkOption = (): Option =>
  new Option(
    '--network <mode>',
    'what machines have of a network: link (default), or nat, an interface behind rules (root)',
  ).choices(['link', 'nat']);

const RUN_ARGUMENT = 'number, owner/name#number or id of the run, or "latest"';

function addRerun(program: Command, settle: Settle, dataDirectory: DataDirectory): void {
  program
    .command('rerun')
    .description('run the jobs of a run again, on the same commit, as its next attempt')
    .argument('[run]', RUN_ARGUMENT, 'latest')
    .optionsGroup('What to run:')
    .option('--failed', 'the failed and cancelled jobs, and those that need them', false)
    .option('-j, --job <name>', 'this job, and those that need it (repeatable)', collect, [])
    .optionsGroup('Values (repeatable):')
    .option(
      '-s, --secret <NAME[=value]>',
      'a secret of the run again; without value: from the environment, or asked',
      collect,
      [],
    )
    .option('--secret-file <file>', 'secrets as NAME=value lines')
    .optionsGroup('How to run it:')
    .option('--debug', 'debug logging of the runner and of steps', false)
    .option('--json', 'events as JSON, one a line, the last "finished"', false)
    .addHelpText('after', EXIT_CODE_HELP)
    .action(async (run: string, flags: RerunFlags) => {
      const { rerun } = await import('./commands/rerun.ts');
      await settle(rerun(run, flags, dataDirectory()));
    });
}

function addStored(program: Command, settle: Settle, dataDirectory: DataDirectory): void {
  const stored = async () => await import('./commands/stored-runs.ts');
  program
    .command('list')
    .description('the latest runs')
    .option('--limit <count>', 'how many, at most 100', '20')
    .option('--json', 'as JSON', false)
    .action(async (flags: { limit: string; json: boolean }) => {
      await settle((await stored()).list(flags, dataDirectory()));
    });
  program
    .command('logs')
    .description('the log of a run, or of one of its jobs')
    .argument('[run]', RUN_ARGUMENT, 'latest')
    .argument('[job]', 'name or key of the job')
    .option('-f, --follow', 'go on until the run has ended', false)
    .option('--why', 'instead of the log: every state the job went through, and why', false)
    .option('--attempt <number>', 'an earlier attempt of the run')
    .option('--json', 'rows as JSON, one a line', false)
    .action(async (run: string, job: string | undefined, flags: LogFlags) => {
      await settle((await stored()).logs(run, job, flags, dataDirectory()));
    });
  program
    .command('cancel')
    .description('cancel a run, or one of its jobs')
    .argument('<run>', RUN_ARGUMENT)
    .argument('[job]', 'name or key of the job')
    .option('--kill', 'at once, without clean-up steps', false)
    .action(async (run: string, job: string | undefined, flags: { kill: boolean }) => {
      await settle((await stored()).cancel(run, job, flags, dataDirectory()));
    });
}

function addLint(program: Command, settle: Settle): void {
  program
    .command('lint')
    .description('what is wrong or dangerous in workflow files, without running them')
    .argument('[path...]', 'workflow files, directories of them, or "-" for standard input')
    .option('--strict', 'warnings count as errors', false)
    .option('--json', 'as JSON', false)
    .addHelpText('after', LINT_HELP.trimEnd())
    .action(async (paths: string[], flags: LintFlags) => {
      const { lint } = await import('./commands/lint.ts');
      await settle(lint(paths, flags));
    });
}

function addUp(program: Command, settle: Settle, dataDirectory: DataDirectory): void {
  program
    .command('up')
    .description('start the platform and leave it running; other terminals join it')
    .option('--listen <host:port>', 'serve the API on TCP, too (a port alone: on 127.0.0.1)')
    .option('--image <name>', 'a stored guest image (see onejob image list)')
    .addOption(networkOption())
    .option(
      '--pool <count>',
      'machines that wait for jobs, at most; as many as jobs come (default: 2; with nat: none)',
    )
    .action(async (flags: UpFlags) => {
      const { up } = await import('./commands/up.ts');
      await settle(up(flags, dataDirectory()));
    });
}

function addHost(program: Command, settle: Settle, dataDirectory: DataDirectory): void {
  const host = async () => await import('./commands/host.ts');
  program
    .command('doctor')
    .description('what this host can do, tried and not guessed; what to install')
    .option('--json', 'as JSON', false)
    .action(async (flags: { json: boolean }) => {
      await settle((await host()).doctor(flags, dataDirectory()));
    });
  program
    .command('prove')
    .description('attack a sandbox of this host, with controls; a table and a signed report')
    .addOption(
      new Option('--driver <name>', 'whose sandboxes are attacked')
        .choices(['auto', 'qemu', 'gvisor', 'docker', 'process'])
        .default('auto'),
    )
    .addOption(networkOption().default('link'))
    .option('--only <attack or class...>', 'these attacks, or all of these classes')
    .option('--report <file>', 'write the signed report there')
    .option('--json', 'print the signed report instead of a table', false)
    .option('--verify <file>', 'check a report instead: was it altered since it was signed?')
    .option('--key <fingerprint>', 'with --verify: refuse a report that another key signed')
    .addOption(new Option('--inside <file>').hideHelp())
    .addHelpText('after', PROVE_HELP.trimEnd())
    .action(async (flags: ProveFlags) => {
      const { proveCommand } = await import('./commands/prove.ts');
      await settle(proveCommand(flags, dataDirectory()));
    });
  program
    .command('reap')
    .description('bury what killed agents left on this host, and what outlived every job')
    .option('--kept', 'also what was kept with run --keep', false)
    .option('--dry-run', 'tell what would be removed; remove nothing', false)
    .option('--json', 'as JSON', false)
    .action(async (flags: ReapFlags) => {
      await settle((await host()).reap(flags, dataDirectory()));
    });
}

function addCompletion(program: Command, settle: Settle): void {
  const completion = async () => await import('./commands/completion.ts');
  program
    .command('completion')
    .description('what a shell loads to complete commands, flags and values')
    .addArgument(new Argument('<shell>', 'the shell you use').choices(SHELLS))
    .addHelpText('after', COMPLETION_HELP.trimEnd())
    .action(async (shell: Shell) => {
      const { printCompletion } = await completion();
      await settle(Promise.resolve(printCompletion(shell)));
    });
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { printCandidates } = await completion();
      await settle(printCandidates(program, words));
    });
}

function addImage(program: Command, settle: Settle): void {
  const images = async () => await import('./commands/image.ts');
  const image = program.command('image').description('the guest images of this host');
  image
    .command('build')
    .description("build onejob's own image; does nothing when it is there")
    .option('--force', 'build it anew', false)
    .action(async (flags: { force: boolean }) => {
      await settle((await images()).imageBuild(flags));
    });
  image
    .command('list')
    .description('every stored image, with size and build time')
    .option('--json', 'as JSON', false)
    .action(async (flags: { json: boolean }) => {
      await settle((await images()).imageList(flags));
    });
  image
    .command('import')
    .description('make a guest image of what somebody made elsewhere, and store it')
    .argument(
      '<path>',
      'an OCI archive, the output of `docker save`, a tar of a root file system,\nor a guest image: a directory or tar of vmlinux, initrd and root disk',
    )
    .option('--name <name>', 'what it is called from then on (else made from the archive)')
    .action(async (path: string, flags: { name?: string }) => {
      await settle((await images()).imageImport(path, flags));
    });
  image
    .command('remove')
    .description('delete a stored image')
    .argument('<image>', 'name, digest, or the beginning of a digest')
    .action(async (reference: string) => {
      await settle((await images()).imageRemove(reference));
    });
  addPromotion(image, settle);
}

/** The program is named before the zone of images is loaded. */
const GATES: Record<Gate, true> = {
  negligible: true,
  low: true,
  medium: true,
  high: true,
  none: true,
};

function addPromotion(image: Command, settle: Settle): void {
  const promotion = async () => await import('./commands/image-promotion.ts');
  image
    .command('promote')
    .description('make a stored image the one that new jobs get')
    .argument('<image>', 'name, digest, or the beginning of a digest')
    .option('--label <label>', 'only jobs whose runs-on has this label')
    .addOption(
      new Option(
        '--max-severity <severity>',
        'refuse known weaknesses of this severity or above, what is not known, and old data',
      )
        .choices(Object.keys(GATES))
        .default('high'),
    )
    .option('--force <reason>', 'promote it all the same; the history keeps the reason')
    .option('--data <file>', SECURITY_DATA_HELP)
    .action(async (reference: string, flags: PromoteFlags) => {
      await settle((await promotion()).imagePromote(reference, flags));
    });
  image
    .command('report')
    .description('what is installed in an image, and which weaknesses are known of that')
    .argument('[image]', 'name or digest; without: what new jobs get')
    .option('--data <file>', SECURITY_DATA_HELP)
    .option('--packages', 'list every package, too', false)
    .option('--json', 'as JSON', false)
    .action(async (reference: string | undefined, flags: ReportFlags) => {
      await settle((await promotion()).imageReport(reference, flags));
    });
  image
    .command('rollback')
    .description('give new jobs the image again that was promoted before')
    .option('--label <label>', 'what jobs with this label get')
    .action(async (flags: { label?: string }) => {
      await settle((await promotion()).imageRollback(flags));
    });
}
