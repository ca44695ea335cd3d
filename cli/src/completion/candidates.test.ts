import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../program.ts';
import { complete, KINDS } from './candidates.ts';

const program = makeProgram(async () => {});
const at = (...words: string[]) => complete(program, words);
const values = (...words: string[]): string[] => at(...words).candidates.map(({ value }) => value);
const kind = (...words: string[]): string => at(...words).kind;

function* commandsIn(command: Command): Generator<Command> {
  yield command;
  for (const inner of command.commands) yield* commandsIn(inner);
}

test('every flag and argument with a value says what its values are', () => {
  for (const command of commandsIn(program)) {
    if (command.name() === 'complete') continue;
    const valued = [
      ...command.options
        .filter((one) => one.required && !one.hidden && one.argChoices === undefined)
        .map(({ long }) => long ?? ''),
      ...command.registeredArguments
        .filter((one) => one.argChoices === undefined)
        .map((one) => one.name()),
    ];
    for (const name of valued)
      assert.ok(KINDS.has(name), `${command.name()} ${name}: add it to KINDS`);
  }
});

test('every command and flag of the tree is offered, hidden ones are not', () => {
  for (const command of commandsIn(program)) {
    if (command === program || command.name() === 'complete') continue;
    const path: string[] = [];
    for (let one: Command | null = command; one !== null && one !== program; one = one.parent)
      path.unshift(one.name());
    assert.ok(
      values(...path.slice(0, -1), path.at(-1) ?? '').includes(command.name()),
      path.join(' '),
    );
    const flags = values(...path, '--');
    for (const { long, hidden } of command.options)
      assert.equal(flags.includes(long ?? ''), !hidden, `${path.join(' ')} ${long}`);
    assert.ok(flags.includes('--help'));
  }
  assert.equal(values('').includes('complete'), false);
});

test('what is typed chooses among commands and flags', () => {
  assert.deepEqual(values('li'), ['list', 'lint']);
  const ofImages = ['build', 'list', 'import', 'remove', 'promote', 'report', 'rollback', 'help'];
  assert.deepEqual(values('image', ''), ofImages);
  assert.deepEqual(values('run', '--dr'), ['--dry-run', '--driver']);
  assert.deepEqual(values('help', 'ru'), ['run']);
  assert.deepEqual(values('nothing', 'such', ''), values('--'));
});

test('a flag that is there already is offered again only where it is repeatable', () => {
  const flags = values('run', '--json', '--driver=auto', '-j', 'a', '--');
  assert.equal(flags.includes('--json') || flags.includes('--driver'), false);
  assert.equal(flags.includes('--job') && flags.includes('--list'), true);
});

test('values are those of the flag before, behind = too, and of the command an argument is of', () => {
  assert.deepEqual(values('run', '--driver', 'q'), ['qemu']);
  assert.deepEqual(values('run', '--driver=a'), ['--driver=auto']);
  assert.equal(kind('run', '-j', ''), 'jobs');
  assert.equal(kind('run', '--secret', ''), 'none');
  assert.deepEqual(
    [kind('run', '--matrix=n'), at('run', '--matrix=n').prefix],
    ['legs', '--matrix='],
  );
  assert.equal(kind('--data-dir', '/x', 'logs', ''), 'runs');
  assert.equal(kind('run', '--data-dir', ''), 'files');
  assert.equal(kind('logs', '7', ''), 'jobs');
  assert.equal(kind('logs', '7', 'build', ''), 'none');
  assert.equal(kind('lint', 'a.yml', 'b.yml', ''), 'files');
  assert.deepEqual(values('completion', 'z'), ['zsh']);
});

test('where only flags can come they are offered at once, and after -- never', () => {
  assert.ok(values('run', '').includes('--list'));
  assert.deepEqual(values('lint', '--', '-'), []);
  assert.equal(kind('lint', '--', '-'), 'files');
  assert.deepEqual(values(), values(''));
});
