/** Completion as it happens: a real shell on a terminal, and somebody who presses Tab. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CommandLine, MAIN, StartedCommand } from './_command-line.ts';

const line = new CommandLine();
const directory = mkdtempSync(join(tmpdir(), 'onejob-completion-'));
after(async () => {
  rmSync(directory, { recursive: true });
  await line[Symbol.asyncDispose]();
});
mkdirSync(join(directory, '.github', 'workflows'), { recursive: true });
mkdirSync(join(directory, 'deep', 'er'), { recursive: true });
mkdirSync(join(directory, 'home'));
writeFileSync(
  join(directory, '.github', 'workflows', 'ci.yml'),
  'on: [push, workflow_dispatch]\njobs:\n  compile:\n    strategy: { matrix: { node: [22] } }\n  check: {}\n',
);
writeFileSync(join(directory, 'event one.json'), '{}');

const PLAIN_TERMINAL = { TERM: 'dumb', ONEJOB_DATA_DIR: line.data };
/** Shells that keep something of a session keep it where it goes with the test. */
const OWN_HOME = {
  HOME: join(directory, 'home'),
  XDG_CONFIG_HOME: join(directory, 'home', 'config'),
  XDG_DATA_HOME: join(directory, 'home', 'data'),
  XDG_CACHE_HOME: join(directory, 'home', 'cache'),
};
const scriptOf = async (shell: string): Promise<string> => {
  const { code, stdout } = await line.run(['completion', shell]);
  assert.equal(code, 0);
  return line.write(`completion.${shell}`, stdout);
};
const isThere = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

/** What bash offers for a line whose end is the cursor. */
function bashOffers(script: string, typed: string, place = directory): string[] {
  const program = `source "$1"; COMP_LINE=$2 COMP_POINT=\${#2}; _onejob; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const words = ['--norc', '--noprofile', '-c', program, 'bash', script, typed];
  const { stdout } = spawnSync('bash', words, {
    cwd: place,
    encoding: 'utf8',
    env: { ...process.env, ONEJOB_DATA_DIR: line.data },
  });
  return stdout.split('\n').filter(Boolean);
}

test('bash offers commands, flags and values, also from a directory further down', async () => {
  const script = await scriptOf('bash');
  const offers = (typed: string, place?: string) => bashOffers(script, typed, place);
  assert.deepEqual(offers('onejob li'), ['list', 'lint']);
  assert.deepEqual(offers('onejob run --dr'), ['--dry-run', '--driver']);
  assert.deepEqual(offers('onejob run -j ', join(directory, 'deep', 'er')), ['compile', 'check']);
  assert.deepEqual(offers('onejob run -e work'), ['workflow_dispatch']);
  // Bash has cut the word behind : and =, and puts what it is given after that.
  assert.deepEqual(offers('onejob run --matrix node:'), ['22']);
  assert.deepEqual(offers('onejob run --driver=q'), ['qemu']);
  assert.deepEqual(offers('onejob run -W .github/workflows/c'), [
    '.github/workflows/ci.yml',
    '.github/workflows/ci.yml',
  ]);
  assert.deepEqual(offers('onejob run --event-file ev'), ['event one.json']);
  assert.deepEqual(offers('onejob logs l'), ['latest']);
  assert.equal(line.hasData(), false, 'nothing is started for it');
});

test('Tab in an interactive bash completes the line, under an alias too', async () => {
  const script = await scriptOf('bash');
  const bash = spawn(
    'script',
    ['--quiet', '--return', '--flush', '-c', 'bash --norc --noprofile -i', '/dev/null'],
    {
      cwd: directory,
      // An interactive bash adds what was typed to the user's own history, unless it has no file.
      env: { ...process.env, ...PLAIN_TERMINAL, HISTFILE: '', PS1: 'ready> ' },
    },
  );
  const shell = new StartedCommand(bash, undefined);
  const type = (text: string): void => void bash.stdin?.write(text);
  type(`alias onejob="'${process.execPath}' '${MAIN}'"; source '${script}'; echo load''ed\n`);
  await shell.saw(/^loaded/m);
  type('onejob compl\tba\t');
  await shell.saw(/onejob completion bash /);
  type('\x15onejob run --driver pro\t--job com\t');
  await shell.saw(/onejob run --driver process --job compile /);
  type('\x15onejob --vers\t\n');
  await shell.saw(/^\d+\.\d+\.\d+/m);
  type('exit\n');
  assert.equal((await shell.ended).code, 0);
});

test('fish offers the same, where it is installed', { skip: !isThere('fish') }, async () => {
  const script = await scriptOf('fish');
  const offers = (typed: string): string[] =>
    spawnSync('fish', ['--no-config', '-c', `source '${script}'; complete -C '${typed}'`], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, ...PLAIN_TERMINAL, ...OWN_HOME },
    }).stdout.split('\n');
  assert.ok(offers('onejob run --dr').includes('--driver\thow machines are made'));
  assert.ok(offers('onejob run -j ').some((one) => one.startsWith('compile\t')));
  assert.ok(offers('onejob run --event-file ev').some((one) => one.includes('event')));
});

test('zsh completes a line, where it is installed', { skip: !isThere('zsh') }, async () => {
  const script = await scriptOf('zsh');
  const zsh = spawn('script', ['--quiet', '--return', '--flush', '-c', 'zsh -f -i', '/dev/null'], {
    cwd: directory,
    env: { ...process.env, ...PLAIN_TERMINAL, ...OWN_HOME },
  });
  const shell = new StartedCommand(zsh, undefined);
  const type = (text: string): void => void zsh.stdin?.write(text);
  type(`autoload -Uz compinit; compinit -u -D; source '${script}'; echo load''ed\n`);
  await shell.saw(/^loaded/m);
  type('onejob run --driver pro\t');
  await shell.saw(/onejob run --driver pro.*cess/);
  type('\x15onejob run --job com\t');
  await shell.saw(/onejob run --job com.*pile/);
  type('\x15exit\n');
  await shell.ended;
});

test('runs of a platform that is up are offered by their numbers', async () => {
  await using up = await CommandLine.prepared();
  const platform = up.start(['up'], { directory });
  await platform.saw(/onejob is up/);
  spawnSync('git', ['init', '--quiet'], { cwd: directory });
  writeFileSync(
    join(directory, '.github', 'workflows', 'ci.yml'),
    'on: push\njobs:\n  compile: { runs-on: ubuntu-latest, steps: [{ run: echo done }] }\n',
  );
  assert.equal((await up.run(['run', '--driver', 'process'], { directory })).code, 0);
  const { stdout } = await up.run(['complete', '--', 'logs', '']);
  assert.match(stdout, /^1\tlocal\/\S+ .*, success$/m);
  const elsewhere = await line.run(['complete', '--', '--data-dir', up.data, 'cancel', '']);
  assert.match(elsewhere.stdout, /^1\t/m);
  platform.child.kill('SIGINT');
  await platform.ended;
});
