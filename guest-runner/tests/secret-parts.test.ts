/**
 * A secret in a text that some parser finds wrong. Masking hides whole secrets, so a message that
 * quotes a part of one would show it: no eight characters of a registered secret are in any message,
 * annotation or name that comes out of a parser of the guest, whatever signs the secret has.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { SecretMasker } from '@onejob/masking';
import type { Json } from '@onejob/protocol';
import { evaluateExpression, EvaluationError } from '@onejob/workflow/evaluate';
import fc from 'fast-check';
import { readManifest } from '../src/actions/manifest.ts';
import { readCheckoutInputs } from '../src/checkout/inputs.ts';
import { findPlace } from '../src/checkout/place.ts';
import { messageOf, shownMessage } from '../src/errors.ts';
import { hashFiles, whyHashFailed } from '../src/job/hash-files.ts';
import { readTimeout } from '../src/job/timeout-minutes.ts';
import { readJsonLines } from '../src/link/json-lines.ts';
import { parseMatchers, parseOwners } from '../src/matchers/matcher-config.ts';
import { RepositoryFiles } from '../src/matchers/repository-files.ts';
import { TimeGuard } from '../src/matchers/time-guard.ts';
import { parsePaths, readKeyValues, whyNotVariable } from '../src/steps/file-command.ts';
import { resolveShell } from '../src/steps/shell.ts';
import { StepCommands } from '../src/steps/step-commands.ts';
import { hostileExpression, noise } from './_hostile.ts';

const PART = 8;
/** Letters that nothing but secrets has here, and signs that parsers look for. */
const LETTERS = ['ж', 'Q', 'Z', '9'];
const SIGNS = [
  ...[
    '=',
    '<<',
    '::',
    ',',
    ' ',
    "'",
    '"',
    '%0A',
    '%25',
    '%2C',
    '/',
    '//',
    '\\',
    '{',
    '}',
    ':',
    '${{',
    '}}',
  ],
  ...['#', '\n', '\t', '- ', '&', '*', '[', ']', '(', ')', '-----', '\\n', ';'],
];
const letters = fc
  .array(fc.constantFrom(...LETTERS), { minLength: 2, maxLength: 5 })
  .map((parts) => parts.join(''));
const secret = fc
  .array(fc.tuple(letters, fc.oneof(fc.constantFrom(...SIGNS), fc.constant(''))), {
    minLength: 2,
    maxLength: 5,
  })
  .map((parts) => `${parts.flat().join('')}ZQ9ж`)
  .filter((text) => text.length >= PART + 2);

/** Parts that say something of the secret: signs alone are in every text. */
function partsOf(value: string): string[] {
  const parts = Array.from({ length: value.length - PART + 1 }, (_, at) =>
    value.slice(at, at + PART),
  );
  return parts.filter((part) => LETTERS.reduce((n, one) => n + part.split(one).length - 1, 0) >= 4);
}

/** What is shown of a text: masked, as every text that leaves the runner. */
class Shown {
  readonly masker = new SecretMasker();
  readonly texts: string[] = [];
  readonly value: string;

  constructor(value: string) {
    this.value = value;
    this.masker.add(value);
  }

  add(text: string | undefined): void {
    if (text !== undefined) this.texts.push(this.masker.maskText(text));
  }

  /** What a parser throws; undefined: nothing. */
  ofError(work: () => unknown): void {
    try {
      work();
    } catch (error) {
      this.add(shownMessage(error, this.masker));
    }
  }

  assertHidden(around: string): void {
    for (const part of partsOf(this.value)) {
      const text = this.texts.find((one) => one.includes(part));
      assert.equal(
        text,
        undefined,
        `${JSON.stringify(part)} of ${JSON.stringify(this.value)} in ${around}`,
      );
    }
  }
}

/** Texts with the secret between other signs. */
const frame = fc.tuple(
  fc.array(noise, { maxLength: 4 }).map((parts) => parts.join('')),
  fc.array(noise, { maxLength: 4 }).map((parts) => parts.join('')),
);
const around = fc.tuple(
  secret,
  fc.oneof(
    frame.map(
      ([before, after]) =>
        (value: string) =>
          `${before}${value}${after}`,
    ),
    fc
      .constantFrom(
        (value: string) => `A<<${value}\nx`,
        (value: string) => `A=1\n${value}\n`,
        (value: string) => `::error title=${value},file=${value}::${value}`,
        (value: string) => `::warning file=${value}::`,
        (value: string) => `##[error file=${value};line=1]${value}`,
        (value: string) => `::echo::${value}`,
        (value: string) => `::add-matcher::${value}`,
        (value: string) => `::set-output name=::${value}`,
        (value: string) => `${value} {0}`,
        (value: string) =>
          `{"problemMatcher": [{"owner": ${JSON.stringify(value)}, "pattern": [{"regexp": ${JSON.stringify(`(${value}`)}}]}]}`,
        (value: string) =>
          `{"problemMatcher": [{"owner": "a", "severity": ${JSON.stringify(value)}}]}`,
        (value: string) => `{"problemMatcher": [${value}]}`,
        (value: string) => `runs: { using: '${value}', main: a }`,
        (value: string) =>
          `runs:\n  using: composite\n  steps:\n    - { run: "\${{ ${value} }}", shell: bash }`,
        (value: string) => `runs:\n  using: node20\n  main: ${value}\n  pre-if: ${value}\n  pre: a`,
        (value: string) => `${value}: ${value}: ${value}\n`,
      )
      .map((make) => make),
  ),
);

function ofCommands(shown: Shown, text: string, workspace: string): void {
  const commands = new StepCommands({
    line: (line) => shown.add(line),
    debug: (message) => shown.add(message),
    annotate: ({ file, message, title }) => [file, message, title].forEach((one) => shown.add(one)),
    addMask: () => {},
    loseMask: () => {},
    setOutput: () => {},
    saveState: () => {},
    setVariable: () => {},
    addPath: () => {},
    variable: () => 'true',
    matchers: {
      add: (path) => parseOwners(path),
      removeFile: (path) => parseOwners(path),
      removeOwner: (owner) => [owner],
    },
    mask: (line) => shown.masker.maskText(line),
    explain: (error, line) => shownMessage(error, shown.masker, line),
    showDebug: true,
    workspace,
  });
  for (const line of text.split(/\r\n|\r|\n/))
    if (!line.includes('stop-commands')) commands.take(line);
}

test('no message about a text shows a part of a secret in it', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'onejob-parts-'));
  const workspace = folder.path;
  mkdirSync(join(workspace, 'act'));
  mkdirSync(join(workspace, '.git'));
  const guard = new TimeGuard();
  let messages = 0;
  await fc.assert(
    fc.asyncProperty(around, async ([value, put]) => {
      const shown = new Shown(value);
      const text = put(value);
      shown.ofError(() =>
        [...readKeyValues(text)].map(([name]) => whyNotVariable(name, 'GITHUB_ENV')),
      );
      shown.ofError(() => parsePaths(text));
      shown.ofError(() => parseMatchers(text, guard));
      shown.ofError(() => parseOwners(text));
      shown.ofError(() => resolveShell(text, '/nowhere', workspace));
      shown.ofError(() => readTimeout(text));
      try {
        hashFiles(workspace, [text]);
      } catch (error) {
        shown.add(whyHashFailed(error, shown.masker, [text]));
      }
      for (const name of ['ssh-user', 'repository', 'github-server-url']) {
        const inputs = new Map([[name, text]]);
        const nowhere = { source: null, repository: '', ownServer: '', otherServer: '' };
        shown.ofError(() => findPlace(readCheckoutInputs(inputs), nowhere));
      }
      ofCommands(shown, text, workspace);
      writeFileSync(join(workspace, 'act', 'action.yml'), text);
      const parts = {
        workspace,
        masker: shown.masker,
        complain: (said: string) => shown.add(said),
      };
      await readManifest(join(workspace, 'act'), parts).catch((error: unknown) =>
        shown.add(messageOf(error)),
      );
      writeFileSync(join(workspace, '.git', 'config'), text);
      const files = new RepositoryFiles({ workspace, serverUrl: 'http://a.b', repository: 'a/b' });
      const found = files.find('act/action.yml', undefined);
      if ('dropped' in found) shown.add(found.dropped);
      const stream = new PassThrough();
      stream.end(`${text}\n`);
      readJsonLines(
        stream,
        100_000,
        () => {},
        (error) => shown.add(messageOf(error)),
      );
      await new Promise((resolve) => stream.once('close', resolve));
      messages += shown.texts.length;
      shown.assertHidden(JSON.stringify(text));
    }),
    {
      numRuns: 600,
      // A sign in the secret's first line ends the command's properties, which masking then takes away.
      examples: [[['жжжж=жжж]жж\nZQ9ж', (value) => `##[error file=${value};line=1]${value}`]]],
    },
  );
  assert.ok(messages > 4000, `only ${messages} messages were looked at`);
});

test('no error of an expression shows a part of a secret that it was given', () => {
  let errors = 0;
  fc.assert(
    fc.property(hostileExpression, secret, (node, value) => {
      const shown = new Shown(value);
      const values: Json = { a: value, [value]: [value, { '0': value }], KEY: `[${value}` };
      const names = [
        'github',
        'vars',
        'inputs',
        'matrix',
        'env',
        'steps',
        'needs',
        'secrets',
        'runner',
      ];
      const contexts = Object.fromEntries(names.map((name) => [name, values]));
      try {
        evaluateExpression(node, { contexts });
      } catch (error) {
        assert.ok(error instanceof EvaluationError, String(error));
        errors++;
        shown.add(error.message);
      }
      shown.assertHidden(JSON.stringify(node).slice(0, 1000));
    }),
    { numRuns: 3000 },
  );
  assert.ok(errors > 300, `only ${errors} errors`);
});
