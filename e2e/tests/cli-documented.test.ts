import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { CommandLine } from './_command-line.ts';

/**
 * Where each command and flag is run for real. A command or flag that is not here, or whose file
 * does not use it, fails.
 */
const PROVED: Readonly<Record<string, readonly [file: string, ...words: string[]]>> = {
  '': ['cli-documented.test.ts', '--version', '--help'],
  '(any)': ['cli-host.test.ts', '--data-dir'],
  run: [
    'cli-run.test.ts',
    ...['-W', '--workflows', '-j', '--job', '--matrix', '-e', '--event', '--event-file'],
    ...['-s', '--secret', '--secret-file', '--var', '--env', '--input', '-l', '--list'],
    ...['-n', '--dry-run', '--json', '--driver', '--keep'],
  ],
  'run (plans)': ['cli-plan.test.ts', '--list', '--graph', '--dry-run', '--json'],
  'run (watch)': ['cli-watch.test.ts', '--watch'],
  'run (network)': ['cli-network.vm.test.ts', '--network'],
  'run (image)': ['cli-imported-image.long.test.ts', '--image'],
  rerun: [
    'cli-rerun.test.ts',
    ...['--failed', '-j', '--job', '-s', '--secret', '--secret-file', '--debug', '--json'],
  ],
  list: ['cli-stored-runs.test.ts', '--limit', '--json'],
  logs: ['cli-stored-runs.test.ts', '--follow', '--why', '--json'],
  'logs (attempts)': ['cli-rerun.test.ts', '--attempt'],
  cancel: ['cli-stored-runs.test.ts', '--kill'],
  lint: ['cli-lint.test.ts', '--strict', '--json'],
  up: ['cli-host.test.ts', '--listen', '--image', '--network', '--pool'],
  doctor: ['cli-host.test.ts', '--json'],
  prove: [
    'cli-prove.test.ts',
    ...['--driver', '--only', '--report', '--json', '--verify', '--key'],
  ],
  'prove (network)': ['prove.long.test.ts', '--network'],
  reap: ['cli-host.test.ts', '--dry-run', '--json'],
  'reap (kept)': ['cli-run.test.ts', '--kept'],
  completion: ['cli-completion.test.ts'],
  image: ['cli-host.test.ts'],
  'image build': ['cli-qemu.vm.test.ts'],
  'image build (anew)': ['cli-image-build.long.test.ts', '--force'],
  'image list': ['cli-host.test.ts', '--json'],
  'image import': ['cli-imported-image.long.test.ts', '--name'],
  'image remove': ['cli-imported-image.long.test.ts'],
  'image promote': ['cli-images.test.ts', '--label', '--max-severity', '--force', '--data'],
  'image report': ['cli-images.test.ts', '--data', '--packages', '--json'],
  'image rollback': ['cli-images.test.ts', '--label'],
};

/** Short names that stand for a long one in no test of their own. */
const SAME_AS: Readonly<Record<string, string>> = { '-f': '--follow' };
const EVERYWHERE = new Set(['-h', '--help', '-V', '--version', '--data-dir']);

const line = await CommandLine.prepared();
const help = new Map<string, string>();

before(async () => {
  const read = async (path: string[]): Promise<void> => {
    const { code, stdout } = await line.run([...path, '--help']);
    assert.equal(code, 0);
    help.set(path.join(' '), stdout);
    for (const name of commandsOf(stdout)) await read([...path, name]);
  };
  await read([]);
  await line[Symbol.asyncDispose]();
});

const section = (text: string, wanted: (heading: string) => boolean): string =>
  text
    .split(/\n(?=\S)/)
    .filter((part) => wanted(part.split('\n')[0] ?? ''))
    .join('\n');

function commandsOf(text: string): string[] {
  const part = section(text, (heading) => /^(Commands|Run workflows|This host):$/.test(heading));
  const names = [...part.matchAll(/^ {2}([a-z]+)/gm)].map((match) => match[1] ?? '');
  return names.filter((name) => name !== 'help');
}

function flagsOf(text: string): string[] {
  const part = section(text, (heading) =>
    /^(Options|What to run|Values.*|How to run it):$/.test(heading),
  );
  return [...part.matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)/gm)]
    .flatMap((match) => [match[1], match[2]])
    .filter((flag): flag is string => flag !== undefined && !EVERYWHERE.has(flag));
}

const source = (file: string): string => readFileSync(join(import.meta.dirname, file), 'utf8');
/** `run (image)` is about the command `run`. */
const commandOf = (key: string): string => key.replace(/ ?\(.*\)$/, '');
const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');

test('every command and flag of --help is run by a test', () => {
  for (const [command, text] of help) {
    const entries = Object.entries(PROVED).filter(([key]) => commandOf(key) === command);
    assert.notEqual(entries.length, 0, `no test runs "${command}"`);
    const words = new Set(entries.flatMap(([, [, ...flags]]) => flags));
    for (const flag of flagsOf(text)) {
      const name = SAME_AS[flag] ?? flag;
      assert.ok(words.has(name), `no test runs "${command} ${flag}"`);
    }
  }
});

test('the tests named for them do use them, and --help knows them', () => {
  for (const [key, [file, ...flags]] of Object.entries(PROVED)) {
    const text = source(file);
    const command = commandOf(key);
    const known = flagsOf(help.get(command) ?? '');
    for (const word of command.split(' ').filter(Boolean)) {
      assert.ok(text.includes(`'${word}'`) || word === 'run', `${file} does not run "${command}"`);
    }
    for (const flag of flags) {
      assert.match(text, new RegExp(`'${flag}'`), `${file} does not use ${flag}`);
      assert.ok(EVERYWHERE.has(flag) || known.includes(flag), `${command} has no ${flag}`);
    }
  }
});

test('README and --help name the same commands, flags and exit codes', () => {
  const table = section(readme.slice(readme.indexOf('\n## Commands')), () => true);
  const runPart = /Flags of `run`:([^]*?)Before any command/.exec(table)?.[1] ?? '';
  const inReadme = new Set(
    [...runPart.matchAll(/(?<![\w-])--?[a-zA-Z][\w-]*/g)].map(([flag]) => flag),
  );
  assert.ok(inReadme.size > 20);
  assert.deepEqual([...inReadme].toSorted(), flagsOf(help.get('run') ?? '').toSorted());
  for (const command of help.keys()) {
    const [first = '', second] = command.split(' ');
    assert.ok(table.includes(second ?? first), `README does not name "${command}"`);
  }
  const all = [...help.values()].flatMap(flagsOf);
  for (const [flag] of table.matchAll(/(?<![\w-])--[a-z][\w-]+/g)) {
    assert.ok(all.includes(flag) || EVERYWHERE.has(flag), `README names ${flag}, which is none`);
  }
  const codes = [...table.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map((match) => match[1]);
  const inHelp = [...(help.get('') ?? '').matchAll(/^ {2,4}(\d+) {2}\S/gm)].map(
    (match) => match[1],
  );
  assert.deepEqual(codes, inHelp);
});

test('help fits a terminal, and comes without any argument, too', async () => {
  for (const [command, text] of help) {
    const widest = Math.max(...text.split('\n').map((row) => row.length));
    assert.ok(widest <= 100, `${command}: ${widest} columns`);
  }
  await using other = new CommandLine();
  assert.equal((await other.run([])).stdout, help.get(''));
  assert.equal((await other.run(['help', 'run'])).stdout, help.get('run'));
  assert.match((await other.run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
});
