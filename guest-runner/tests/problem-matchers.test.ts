import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runToEnd } from './_host.ts';
import type { TestHost } from './_host.ts';
import { expr, makeTask, map, path, run } from './_task.ts';

const SECRET = 'hunter2-secret-value';

const matcher = (owner: string, pattern: object[], rest: object = {}): string =>
  JSON.stringify({ problemMatcher: [{ owner, pattern, ...rest }] });
const LINT = matcher('lint', [
  {
    regexp: '^(.+):(\\d+):(\\d+): (\\w+): (.+)$',
    file: 1,
    line: 2,
    column: 3,
    severity: 4,
    message: 5,
  },
]);
const STYLISH = matcher('stylish', [
  { regexp: '^([^\\s].*)$', file: 1 },
  { regexp: '^\\s+(\\d+)\\s+(.*)$', line: 1, message: 2, loop: true },
]);
/** As `actions/checkout` leaves the workspace, as far as matchers look. */
const CLONE =
  'mkdir .git; echo "url = $GITHUB_SERVER_URL/$GITHUB_REPOSITORY" > .git/config; mkdir src; touch src/a.c';
const write = (name: string, json: string): string => `cat > ${name} <<'END'\n${json}\nEND`;

const annotations = (host: TestHost) =>
  host.messages.flatMap((message) =>
    message.type === 'annotation' ? [{ index: message.index, ...message.annotation }] : [],
  );

test('a matcher that one step adds makes annotations in it and in later ones', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run(
        [
          CLONE,
          write('m.json', LINT),
          'echo "src/a.c:1:2: error: too early"',
          'echo "::add-matcher::m.json"',
          'echo "./src/a.c:1:2: error: first"; printf "src/b.c:3:4: notice: no file, no end"',
        ].join('\n'),
      ),
      run(
        'printf "\\033[1msrc/a.c:5:6:\\033[0m Warning: second\\r\\nplain\\n"; echo "a:1:2: info: x" >&2',
      ),
      run('echo "::remove-matcher owner=LINT::"; echo "src/a.c:1:2: error: too late"'),
    ]),
  });
  assert.deepEqual(annotations(host), [
    { index: 0, level: 'error', message: 'first', file: 'src/a.c', line: 1, column: 2 },
    { index: 0, level: 'notice', message: 'no file, no end', line: 3, column: 4 },
    { index: 1, level: 'warning', message: 'second', file: 'src/a.c', line: 5, column: 6 },
  ]);
  assert.deepEqual(host.lines(0).slice(-3), [
    'src/a.c:1:2: error: too early',
    '##[error]./src/a.c:1:2: error: first',
    '##[notice]src/b.c:3:4: notice: no file, no end',
  ]);
  assert.deepEqual(host.lines(1).slice(-3), [
    '##[warning]src/a.c:5:6: Warning: second',
    'plain',
    'a:1:2: info: x',
  ]);
  assert.equal(host.lines(2).at(-1), 'src/a.c:1:2: error: too late');
  assert.equal(host.finished.conclusion, 'success');
  assert.deepEqual(host.violations, []);
});

test('a message over several lines is one problem, and does not reach into the next step', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run(
        `${CLONE}\n${write('m.json', STYLISH)}\necho "::add-matcher::$PWD/m.json"\n` +
          'echo src/a.c; echo "  1  one"; echo "  2  two"; echo src/a.c',
      ),
      run('echo "  3  three"; echo "::remove-matcher::m.json"; echo src/a.c; echo "  4  four"'),
    ]),
  });
  assert.deepEqual(annotations(host), [
    { index: 0, level: 'error', message: 'one', file: 'src/a.c', line: 1 },
    { index: 0, level: 'error', message: 'two', file: 'src/a.c', line: 2 },
  ]);
  assert.deepEqual(host.lines(0).slice(-4), [
    'src/a.c',
    '##[error]  1  one',
    '##[error]  2  two',
    'src/a.c',
  ]);
});

test('no annotation shows a secret, not even a part of it that an expression cut out', async () => {
  const parts = matcher('parts', [{ regexp: '^error in (\\w+?)-(.*)$', file: 1, message: 2 }]);
  const coloured = `${SECRET.slice(0, 5)}\\033[31m${SECRET.slice(5)}`;
  await using host = await runToEnd({
    task: makeTask(
      [
        run(
          `${write('m.json', parts)}\n${write('l.json', LINT)}\necho "::add-matcher::m.json"; echo "::add-matcher::l.json"`,
        ),
        run(
          `echo "error in $S"; echo "error in x-y $S"; echo "$S:1:2: error: got $S"; printf "error in c-${coloured}\\n"`,
          { env: map({ S: expr(path('secrets.S')) }) },
        ),
      ],
      { secrets: { S: SECRET } },
    ),
  });
  assert.deepEqual(
    annotations(host).map(({ message }) => message),
    ['y ***', 'got ***', '***'],
  );
  const events = host.messages.filter(({ type }) => type === 'annotation');
  // The lines before them show the script, which is the test's own.
  const all = host.lines(1).slice(-4).join('\n') + JSON.stringify(events);
  for (const part of ['hunter2', 'secret-value']) assert.ok(!all.includes(part), all);
});

test('a matcher that is wrong fails its step with the reason, a command without one is warned of', async () => {
  const bad = matcher('bad', [{ regexp: '(', message: 1 }]);
  await using host = await runToEnd({
    task: makeTask([
      run('echo "::add-matcher::"; echo "::remove-matcher::"; echo "::remove-matcher owner=a::b"'),
      run('echo "::add-matcher::missing.json"', { continueOnError: true }),
      run(`${write('m.json', bad)}\necho "::add-matcher::m.json"; echo ok`),
    ]),
  });
  assert.deepEqual(host.lines(0).slice(-3), [
    '##[warning]File path must be specified.',
    '##[warning]Either an owner name or a file path must be specified in ##[remove-matcher] command.',
    '##[warning]Either specify an owner name or a file path in ##[remove-matcher] command. Both values cannot be set.',
  ]);
  assert.match(
    host.text(1),
    /##\[error\]Unable to process command '::add-matcher::missing\.json' successfully\.\n##\[error\]Could not find file '.*\/missing\.json'\./,
  );
  assert.match(host.text(2), /##\[error\]The regular expression '\(' cannot be used: .*\nok\n/);
  assert.equal(host.finished.conclusion, 'failure');
});

test(
  'an expression without end is given up, and the job goes on',
  { timeout: 60_000 },
  async () => {
    const slow = matcher('slow', [{ regexp: '^(?:a+)+$', message: 0 }]);
    await using host = await runToEnd({
      task: makeTask([
        run(`${write('m.json', slow)}\necho "::add-matcher::m.json"`),
        run(`echo aa; echo ${'a'.repeat(60)}b; echo aa`),
      ]),
    });
    const [first, ...rest] = host.lines(1).slice(-4);
    assert.equal(first, '##[error]aa');
    assert.match(
      rest[0]!,
      /^##\[warning\]Removing issue matcher 'slow'\. Matcher failed 3 times\./,
    );
    assert.deepEqual(rest.slice(1), [`${'a'.repeat(60)}b`, 'aa']);
    assert.deepEqual(
      annotations(host).map(({ level }) => level),
      ['error', 'warning'],
    );
    assert.equal(host.finished.conclusion, 'success');
  },
);

test('with debugging, the log says what matchers did and why', async () => {
  await using host = await runToEnd({
    task: makeTask(
      [
        run(`${CLONE}\n${write('m.json', LINT)}\necho "::add-matcher::m.json"`),
        run('echo "no.c:99999999999:2: error: a"; echo "::remove-matcher::m.json"; echo end'),
      ],
      { contexts: { vars: { ACTIONS_STEP_DEBUG: 'true' } } },
    ),
  });
  assert.match(
    host.text(0),
    /\n##\[debug\]Added matchers: 'lint'\. Problem matchers scan action output/,
  );
  const lines = host.lines(1);
  assert.ok(lines.includes("##[debug]Unable to parse line number '99999999999'"), host.text(1));
  assert.match(
    host.text(1),
    /\n##\[debug\]Dropping file value '.*\/no\.c'\. Path does not exist\n/,
  );
  assert.equal(lines[lines.indexOf('end') - 1], "##[debug]Removed matchers: 'lint'");
  assert.deepEqual(annotations(host), [{ index: 1, level: 'error', message: 'a', column: 2 }]);
});
