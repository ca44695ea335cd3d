import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { CliError } from '../errors.ts';
import { reportError } from './report-error.ts';

function report(error: unknown): { code: number; text: string } {
  const stream = new PassThrough();
  const code = reportError(error, stream);
  return { code, text: String(stream.read() ?? '') };
}

const problem = (line: number) => ({ file: 'ci.yml', line, column: 3, message: `wrong ${line}` });

test('an input is complained about with its places, and nothing of our insides', () => {
  const cause = new Error('deep inside');
  const error = new CliError('invalid_input', 'The workflow has mistakes.', {
    cause,
    problems: [problem(1), problem(2)],
  });
  assert.deepEqual(report(error), {
    code: 3,
    text: 'onejob: The workflow has mistakes.\n  ci.yml:1:3: wrong 1\n  ci.yml:2:3: wrong 2\n',
  });
});

test('what to do next comes last, below the places', () => {
  const message = 'ci.yml:1:3: wrong 1';
  const error = new CliError('usage', message, { problems: [problem(1)], hint: 'Do better.' });
  assert.deepEqual(report(error), {
    code: 2,
    text: 'onejob: The workflows cannot be run:\n  ci.yml:1:3: wrong 1\nDo better.\n',
  });
});

test('a message that is only the places is not said twice', () => {
  const message = 'ci.yml:1:3: wrong 1\nci.yml:2:3: wrong 2';
  const { text } = report(
    new CliError('invalid_input', message, { problems: [problem(1), problem(2)] }),
  );
  assert.equal(
    text,
    'onejob: The workflows cannot be run:\n  ci.yml:1:3: wrong 1\n  ci.yml:2:3: wrong 2\n',
  );
});

test('a screen is enough, however much is wrong', () => {
  const problems = Array.from({ length: 500 }, (_, index) => problem(index + 1));
  const error = new CliError('invalid_input', 'line\n'.repeat(500) + 'x'.repeat(100_000), {
    problems,
  });
  const { text } = report(error);
  assert.ok(text.split('\n').length < 25);
  assert.match(text, /and 490 more/);
});

test('a failure of the platform tells what lies beneath it', () => {
  const error = new CliError('platform_error', 'It failed.', { cause: new Error('disk on fire') });
  assert.deepEqual(report(error), {
    code: 4,
    text: 'onejob: It failed. (platform_error)\n  disk on fire\n',
  });
});

test('codes of other zones end with the exit code that fits them', () => {
  const coded = (code: string) => Object.assign(new Error('said'), { code });
  assert.equal(report(coded('image_not_found')).code, 3);
  assert.equal(report(coded('image_cancelled')).code, 130);
  assert.equal(report(coded('data_directory_corrupt')).code, 4);
  assert.doesNotMatch(report(coded('ENOSPC')).text, /\n +at |fault of onejob/);
});

test('only what nobody foresaw shows where it happened', () => {
  const { code, text } = report(new TypeError('x is undefined'));
  assert.equal(code, 4);
  assert.match(text, /fault of onejob itself/);
  assert.match(text, /report-error\.test\.ts/);
  assert.ok(text.split('\n').length < 25);
  assert.equal(report('thrown text').code, 4);
  assert.equal(report(undefined).code, 4);
});

test('what an error quotes cannot steer the terminal', () => {
  const { text } = report(new CliError('invalid_input', 'key "\x1b[2J\x1b]0;t\x07x" is unknown'));
  assert.equal(text, 'onejob: key "x" is unknown\n');
});
