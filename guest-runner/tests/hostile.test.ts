/**
 * Hostile input to everything the guest runner parses beside the job's own code: commands, file
 * commands, matcher files, metadata files of actions, shells, configurations of git, payloads of
 * events, expressions over them. Each gives a value or an error with a sentence, in linear time.
 * Random texts find what is wrong at the door; what lies behind it is found by texts that are valid
 * but for a few edits, and a floor on how many get through says that they are.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAction } from '@onejob/workflow/parse-action';
import type { Json } from '@onejob/protocol';
import fc from 'fast-check';
import { GuestError } from '../src/errors.ts';
import { GIT_CONFIG_BYTES } from '../src/limits.ts';
import { parseMatchers, parseOwners } from '../src/matchers/matcher-config.ts';
import { RepositoryFiles } from '../src/matchers/repository-files.ts';
import { TimeGuard } from '../src/matchers/time-guard.ts';
import { parseCommand } from '../src/steps/command.ts';
import { parsePaths, readKeyValues } from '../src/steps/file-command.ts';
import { splitArguments } from '../src/steps/shell.ts';
import { runToEnd } from './_host.ts';
import { editsOf, hostileExpression, hostileJson, hostileMatchers, noise } from './_hostile.ts';
import { call, expr, makeTask, path, run, text } from './_task.ts';

const parseKeyValues = (input: string): [string, string][] => [...readKeyValues(input)];
const garbage = fc
  .array(fc.oneof(noise, fc.string({ maxLength: 8 })), { maxLength: 60 })
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

async function isManifest(file: string): Promise<boolean> {
  const parsed = await parseAction({ file: 'action.yml', text: file });
  if (parsed.ok) {
    assert.deepEqual(JSON.parse(JSON.stringify(parsed.manifest)), parsed.manifest);
    return true;
  }
  assert.ok(parsed.problems.length > 0);
  for (const { column, line, message } of parsed.problems) {
    assert.ok(line >= 1 && column >= 1 && message.length > 0 && message.length <= 1100);
  }
  return false;
}

const ACTIONS = {
  composite: `name: Build
description: builds
inputs:
  level: { description: a, required: true, default: "\${{ github.ref }}" }
  old: { deprecationMessage: use level }
outputs:
  out: { description: b, value: "\${{ steps.one.outputs.x }}" }
runs:
  using: composite
  steps:
    - id: one
      if: \${{ success() && inputs.level != '' }}
      run: |
        echo "\${{ inputs.level }}"
          more \${{ toJSON(github.event) }}
      shell: bash
      env: &e { A: "it's \${{ runner.os }}" }
      working-directory: \${{ github.action_path }}
    - { uses: ./other, with: { a: 1, b: "\${{ hashFiles('**/x', 'y') }}" }, continue-on-error: true }
    - { run: x, shell: sh, env: *e, if: failure() }
`,
  JavaScript: `name: Set up
inputs:
  version: { default: 24 }
  token: { default: "\${{ github.token }}" }
runs:
  using: node20
  pre: pre.js
  pre-if: runner.os == 'Linux' && !cancelled()
  main: dist/index.js
  post: post.js
  post-if: success() || github.event_name == 'push'
`,
};

for (const [name, seed] of Object.entries(ACTIONS)) {
  test(`a ${name} action with random edits is a manifest, or problems with places`, async () => {
    assert.ok(await isManifest(seed));
    let good = 0;
    await fc.assert(
      fc.asyncProperty(editsOf(seed), async (file) => {
        if (await isManifest(file)) good++;
      }),
      { numRuns: 600 },
    );
    assert.ok(good > 60, `only ${good} of 600 parsed`);
  });
}

test('random metadata files are a manifest or problems with places', async () => {
  await fc.assert(
    fc.asyncProperty(garbage, async (input) => void (await isManifest(input))),
    { numRuns: 500 },
  );
});

test('matcher files of every shape are matchers that match, or a sentence of ours', () => {
  let good = 0;
  const guard = new TimeGuard();
  fc.assert(
    fc.property(hostileMatchers, (file) => {
      try {
        const matchers = parseMatchers(file, guard);
        assert.ok(parseOwners(file).length === matchers.length);
        for (const { owner, patterns } of matchers) {
          assert.ok(owner !== '' && patterns.length > 0);
          for (const { groups, regexp } of patterns) {
            assert.ok(Object.values(groups).every((group) => group >= 0));
            guard.run(() => void regexp.exec('src/a.c:1:2: error: x'), 1000);
          }
        }
        good++;
      } catch (error) {
        assert.ok(error instanceof GuestError && error.message.length > 5, String(error));
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(good > 200, `only ${good} of 2000 parsed`);
});

/** An argument as .NET writes it for a program on Linux (`PasteArguments.cs`). */
function written(argument: string): string {
  if (argument !== '' && !/[\s"]/.test(argument)) return argument;
  const escaped = argument.replaceAll(/(\\*)("|$)/g, (_, slashes: string, end: string) =>
    end === '"' ? `${slashes}${slashes}\\"` : `${slashes}${slashes}`,
  );
  return `"${escaped}"`;
}

test('a shell with arguments of any signs is split into what was written', () => {
  const sign = fc.constantFrom('bash', '{0}', ' ', '\t', '\n', '"', "'", '-c', '\\', 'é', '\0');
  const word = fc.array(sign, { maxLength: 6 }).map((parts) => parts.join(''));
  const blanks = fc.constantFrom(' ', '  ', '\t ');
  fc.assert(
    fc.property(fc.array(word), blanks, (words, between) => {
      assert.deepEqual(splitArguments(words.map(written).join(between)), words);
    }),
    { numRuns: 1000 },
  );
  for (const worst of ['"', '" ', 'a', ' ', '"a" ', '\\', '\\a', '\\"']) {
    splitArguments(worst.repeat(2 ** 20 / worst.length));
  }
});

test('a clone is known by its address, whatever its configuration holds', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'onejob-hostile-'));
  const [workspace, serverUrl] = [folder.path, 'http://onejob.localhost:1'];
  mkdirSync(join(workspace, '.git'));
  writeFileSync(join(workspace, 'a.c'), '');
  const seed = `[core]\n\tbare = false\n[remote "origin"]\n\turl = ${serverUrl}/me/ours\n\tfetch = +a:b\n`;
  const find = (config: string | Buffer): boolean => {
    writeFileSync(join(workspace, '.git', 'config'), config);
    const files = new RepositoryFiles({ workspace, serverUrl, repository: 'me/ours' });
    return 'path' in files.find('a.c', undefined);
  };
  let good = 0;
  fc.assert(
    fc.property(editsOf(seed), (config) => {
      const isOurs = find(config);
      if (isOurs) good++;
      const address = `url = ${serverUrl}/me/ours`;
      assert.equal(
        isOurs,
        config.split('\n').some((line) => line.trim().toLowerCase() === address),
      );
    }),
    { numRuns: 500 },
  );
  assert.ok(good > 50 && good < 500, `${good} of 500 were ours`);
  for (const byte of [0, 10, 91, 255])
    assert.equal(find(Buffer.alloc(GIT_CONFIG_BYTES, byte)), false);
  assert.equal(find(`${seed}${' '.repeat(GIT_CONFIG_BYTES)}`), false);
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

const sha256 = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex');

/** What JSON makes of a value: -0 is 0, and what stands twice is the last of it. */
const asJson = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json;

test('events of every shape reach the job as they were sent', async () => {
  const seed = Date.now();
  const event = { values: asJson(fc.sample(hostileJson, { numRuns: 150, seed })) };
  const shown = call('tojson', path('github.event.values'));
  await using host = await runToEnd({
    task: makeTask(
      [
        run(
          `node -e "const text = require('fs').readFileSync(process.env.GITHUB_EVENT_PATH, 'utf8');
           const value = JSON.stringify(JSON.parse(text));
           console.log(require('crypto').createHash('sha256').update(value).digest('hex'))"`,
        ),
        run('exit 1', { condition: call('endswith', shown, text('no')) }),
      ],
      { contexts: { github: { event } } },
    ),
  });
  assert.equal(host.finished.conclusion, 'success', `seed ${seed}: ${host.finished.message}`);
  assert.ok(host.lines(0).includes(sha256(event)), `seed ${seed}`);
});

test('expressions over hostile values are decided one by one, and none ends the runner', async () => {
  const conditions = fc.sample(hostileExpression, 400);
  const [deep] = fc.sample(fc.array(hostileJson, { minLength: 5 }), 1);
  const secret = 'tiger-in-the-tank';
  // What follows `&&` is false: no step is due, so each is evaluated and none is run.
  const steps = conditions.map((node) =>
    run('exit 1', { condition: { kind: 'and', all: [node, { kind: 'literal', value: false }] } }),
  );
  await using host = await runToEnd({
    task: makeTask([...steps, run('echo alive', { condition: call('always') })], {
      contexts: {
        github: { event: { values: asJson(deep) }, ref: 'refs/heads/main' },
        vars: { ['__proto__']: 'a', constructor: '0x7', EMPTY: '' },
        inputs: { deep: asJson(deep) },
        matrix: asJson(deep),
      },
      secrets: { S: secret },
    }),
  });
  const ends = host.steps().filter(({ index, phase }) => index >= 0 && phase === 'main');
  assert.deepEqual(host.violations, []);
  assert.equal(ends.length, conditions.length + 1);
  const decided = ends.filter(({ conclusion }) => conclusion === 'skipped').length;
  assert.ok(decided > conditions.length / 4, `only ${decided} could be evaluated`);
  assert.ok(ends.every(({ conclusion }) => conclusion !== 'cancelled'));
  assert.ok(host.lines().includes('alive'));
  assert.doesNotMatch(JSON.stringify([host.messages, host.rows]), /tiger-in|in-the-t|the-tank/);
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
