/**
 * Hostile input to everything the guest runner parses beside the job's own code: commands, file
 * commands, matcher files, metadata files of actions, payloads of events. Each gives a value or an
 * error with a sentence, in linear time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAction } from '@onejob/workflow/parse-action';
import fc from 'fast-check';
import { GuestError } from '../src/errors.ts';
import { parseMatchers } from '../src/matchers/matcher-config.ts';
import { TimeGuard } from '../src/matchers/time-guard.ts';
import { parseCommand } from '../src/steps/command.ts';
import { parsePaths, readKeyValues } from '../src/steps/file-command.ts';
import { runToEnd } from './_host.ts';
import { call, expr, makeTask, path, run, text } from './_task.ts';

const pieces = [
  ...['::', '##[', ']', 'set-output', 'add-mask', 'error', ' name=', ',', ';', '%0A', '%25', '%'],
  ...['A=1', 'A<<', 'EOF', '<<', '=', '\n', '\r\n', '\0', '\ufeff', '\u2028', '\ud800', 'é', '💥'],
  ...[
    '{',
    '}',
    '[',
    '"',
    'owner',
    'regexp',
    '(a+)+$',
    '__proto__',
    'constructor',
    ':',
    '- ',
    '${{',
  ],
  ...[
    'runs:',
    ' using: composite',
    '\n  steps:',
    '\n    - run: x',
    '\n      shell: bash',
    '*a',
    '&a',
  ],
];
const parseKeyValues = (input: string): [string, string][] => [...readKeyValues(input)];
const garbage = fc
  .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 8 })), { maxLength: 60 })
  .map((parts) => parts.join(''));

test('random text is a command or none, and file commands are pairs or an error of ours', () => {
  fc.assert(
    fc.property(garbage, (input) => {
      const command = parseCommand(input);
      if (command !== undefined) assert.equal(command.name, command.name.toLowerCase());
      for (const parse of [parseKeyValues, parsePaths]) {
        try {
          assert.ok(Array.isArray(parse(input)));
        } catch (error) {
          assert.ok(error instanceof GuestError, String(error));
        }
      }
      try {
        parseMatchers(input, new TimeGuard());
      } catch (error) {
        assert.ok(error instanceof GuestError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test('random metadata files are a manifest or problems with places', async () => {
  await fc.assert(
    fc.asyncProperty(garbage, async (input) => {
      const parsed = await parseAction({ file: 'action.yml', text: input });
      if (parsed.ok) {
        assert.deepEqual(JSON.parse(JSON.stringify(parsed.manifest)), parsed.manifest);
        return;
      }
      assert.ok(parsed.problems.length > 0);
      for (const { column, line, message } of parsed.problems) {
        assert.ok(line >= 1 && column >= 1 && message.length > 0 && message.length <= 1100);
      }
    }),
    { numRuns: 1500 },
  );
});

test('megabytes of the worst are read in a moment', { timeout: 60_000 }, async () => {
  const MiB = 2 ** 20;
  const texts = {
    'open heredocs': 'A<<B\n'.repeat(MiB / 5),
    'one heredoc': `A<<B\n${'x\n'.repeat(MiB / 2)}B`,
    'equals signs': '='.repeat(MiB),
    'empty lines': '\n'.repeat(MiB),
    'a line of percent signs': `::error ${'%'.repeat(MiB)}::x`,
    'properties by the thousand': `::error ${'a=b,'.repeat(MiB / 4)}::x`,
  };
  for (const input of Object.values(texts)) {
    parseCommand(input);
    try {
      parseKeyValues(input);
    } catch (error) {
      assert.ok(error instanceof GuestError);
    }
  }
  for (const piece of ['[', '{a: ', '- ', '? ', '&a ', '!a ', '"']) {
    const parsed = await parseAction({ file: 'a', text: piece.repeat(100_000) });
    assert.equal(parsed.ok, false);
  }
});

test('an event of any shape is a payload: names of prototypes, depth, half characters', async () => {
  const event = JSON.parse(
    '{"__proto__": {"polluted": "own"}, "constructor": 1, "toString": {"x": [1, null, "\\ud800"]}}',
  ) as Record<string, never>;
  let deep: unknown = 'bottom';
  for (let level = 0; level < 90; level += 1) deep = { a: deep };
  const show = (dotted: string): Parameters<typeof run>[0] =>
    expr(call('format', text('echo "[{0}]"'), path(dotted)));
  const github = { event: { ...event, ['__proto__']: { polluted: 'own' }, deep: deep as never } };
  await using host = await runToEnd({
    task: makeTask(
      [
        run(show('github.event.constructor')),
        run(show('github.event.nothing.constructor')),
        run('node -e "JSON.parse(require(\'fs\').readFileSync(process.env.GITHUB_EVENT_PATH))"'),
      ],
      { contexts: { github } },
    ),
  });
  assert.equal(host.finished.conclusion, 'success', host.finished.message);
  assert.ok(host.lines(0).includes('[1]'));
  assert.ok(host.lines(1).includes('[]'));
});

test('what is wrong with a command file that holds a secret is said without it', async () => {
  const secret = 'tiger-in-the-tank';
  await using host = await runToEnd({
    task: makeTask(
      [
        run('echo "$S" >> "$GITHUB_ENV"', { env: { map: [{ key: 'S', value: secret }] } }),
        run('echo "::error file=$S::$S"; echo "A<<$S" >> "$GITHUB_OUTPUT"', {
          condition: call('always'),
          env: { map: [{ key: 'S', value: secret }] },
        }),
      ],
      { secrets: { S: secret } },
    ),
  });
  assert.equal(host.finished.conclusion, 'failure');
  assert.doesNotMatch(JSON.stringify([host.messages, host.rows]), /tiger-in-the-tank/);
  assert.match(host.text(0), /Invalid format '\*\*\*'/);
});
