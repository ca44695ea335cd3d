import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runToEnd } from './_host.ts';
import { call, expr, makeTask, map, path, run, text } from './_task.ts';

test('a job of one step says hello, logs, and finishes with every row acknowledged', async () => {
  await using host = await runToEnd({ task: makeTask([run('echo hello')]) });
  assert.equal(await host.exit(), 0);
  assert.deepEqual(host.violations, []);
  assert.equal(host.hello?.protocol, 'onejob.guest.v1');
  assert.equal(host.total, host.rows.length);
  assert.ok(host.lines(0).includes('hello'));
  const { conclusion, reason } = host.finished;
  assert.deepEqual({ conclusion, reason }, { conclusion: 'success', reason: 'steps_completed' });
});

test('a failing step fails the job, skips the next, and still runs what asks for always()', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('exit 3', { id: 'bad', at: { line: 21, column: 5 } }),
      run('echo never'),
      run('echo after ${{ }}', { condition: call('always') }),
      run('echo on-failure', { condition: call('failure') }),
    ]),
  });
  const steps = host.steps().filter((step) => step.index >= 0);
  assert.deepEqual(
    steps.map((step) => step.conclusion),
    ['failure', 'skipped', 'failure', 'success'],
  );
  assert.equal(steps[0]?.exitCode, 3);
  assert.ok(host.lines(0).includes('##[error]Process completed with exit code 3.'));
  assert.match(
    host.finished.message,
    /^\.github\/workflows\/ci\.yml:21:\d+: step 'Run exit 3' failed/,
  );
  assert.equal(host.finished.reason, 'step_failed');
});

test('continue-on-error keeps the outcome and mends the conclusion', async () => {
  const show = run(
    expr(
      call(
        'format',
        text('echo "{0}-{1}"'),
        path('steps.bad.outcome'),
        path('steps.bad.conclusion'),
      ),
    ),
  );
  await using host = await runToEnd({
    task: makeTask([run('exit 1', { id: 'bad', continueOnError: true }), show]),
  });
  assert.ok(host.lines(1).includes('failure-success'));
  assert.equal(host.finished.conclusion, 'success');
});

test('environments are layered: run below workflow below job below step', async () => {
  const layers = map({ B: 'workflow', C: 'workflow', D: 'workflow' });
  const own = map({ C: 'job', D: 'job', SEEN: expr(path('env.B')) });
  await using host = await runToEnd({
    task: makeTask([run('echo "$A $B $C $D $SEEN"', { env: map({ D: 'step' }) })], {
      env: { A: 'run', B: 'run', C: 'run', D: 'run' },
      job: { env: [layers, own] },
    }),
  });
  assert.ok(host.lines(0).includes('run workflow job step workflow'), host.text());
});

test('each shell runs with the options GitHub gives it', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('echo "$-"; false | true; echo piped'),
      run('echo "opts $(set +o | grep pipefail)"; false | true; echo never', {
        shell: 'bash',
        continueOnError: true,
      }),
      run('echo "sh $0"; [ -z "$BASH_VERSION" ] || true', { shell: 'sh' }),
      run('import sys; print("python", sys.version_info[0])', { shell: 'python' }),
      run('print "custom $0\\n"', { shell: 'perl -w {0}' }),
    ]),
  });
  assert.match(host.text(0), /shell: \/\S*\/bash -e \{0\}\n/);
  assert.ok(host.lines(0).includes('piped'));
  assert.match(host.text(1), /opts set -o pipefail/);
  assert.ok(!host.lines(1).includes('never'));
  assert.match(host.text(2), /^sh .*onejob-step-2\.sh$/m);
  assert.ok(host.lines(3).includes('python 3'));
  assert.match(host.text(4), /^custom .*onejob-step-4$/m);
  assert.equal(host.finished.conclusion, 'success', host.finished.message);
});

test('a shell that is not there, or is none, is named with the line', async () => {
  const at = { line: 42, column: 7 };
  await using missing = await runToEnd({
    task: makeTask([run('x', { shell: 'nosuchshell {0}', at })]),
  });
  assert.match(
    missing.finished.message,
    /ci\.yml:42:7: .*The shell 'nosuchshell \{0\}' is not installed/,
  );
  await using wrong = await runToEnd({ task: makeTask([run('x', { shell: 'fish', at })]) });
  assert.match(wrong.finished.message, /ci\.yml:42:7: .*Invalid shell option 'fish'/);
});

test('a working directory is relative to the workspace, and its absence is said', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('mkdir -p a/b'),
      run('pwd', { workingDirectory: 'a/b' }),
      run('pwd', { workingDirectory: 'gone' }),
    ]),
  });
  assert.match(host.text(1), /\/work\/sample\/sample\/a\/b$/m);
  assert.match(host.finished.message, /the working directory '.*\/gone' does not exist/);
});

test('files of a step set variables, PATH and outputs for the steps after it', async () => {
  const script = [
    'mkdir -p bin; printf "#!/bin/sh\\necho tool\\n" > bin/mytool; chmod +x bin/mytool',
    'echo "$PWD/bin" >> "$GITHUB_PATH"',
    'printf "MULTI<<EOF\\none\\ntwo\\nEOF\\nSINGLE=1\\n" >> "$GITHUB_ENV"',
    'echo "answer=42" >> "$GITHUB_OUTPUT"',
    'echo "# done" >> "$GITHUB_STEP_SUMMARY"',
    'test -z "$MULTI"',
  ].join('\n');
  const second = expr(
    call(
      'format',
      text('mytool; echo "$MULTI-$SINGLE-{0}-{1}"'),
      path('steps.a.outputs.answer'),
      path('env.SINGLE'),
    ),
  );
  await using host = await runToEnd({
    task: makeTask([run(script, { id: 'a' }), run(second)], {
      job: { outputs: map({ answer: expr(path('steps.a.outputs.answer')) }) },
    }),
  });
  assert.match(host.text(1), /^tool\none\ntwo-1-42-1$/m);
  assert.deepEqual(host.finished.outputs, { answer: '42' });
  const summary = host.messages.find((message) => message.type === 'summary');
  assert.equal(summary?.markdown, '# done\n');
});

test('wrong files are told with the sentences of GitHub, and fail the step where they do there', async () => {
  const cases: [string, RegExp, 'failure' | 'success'][] = [
    [
      'echo nonsense >> "$GITHUB_ENV"',
      /Unable to process file command 'env' successfully\.\n.*Invalid format 'nonsense'/,
      'failure',
    ],
    ['echo "A<<EOF" >> "$GITHUB_OUTPUT"', /Matching delimiter not found 'EOF'/, 'failure'],
    ['echo NODE_OPTIONS=x >> "$GITHUB_ENV"', /Can't store NODE_OPTIONS/, 'success'],
    [
      'head -c 2000000 /dev/zero | tr "\\0" x >> "$GITHUB_STEP_SUMMARY"',
      /^##\[error\]\$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got 1953k\. For more information see: https:/m,
      'success',
    ],
  ];
  await using host = await runToEnd({
    task: makeTask(cases.map(([script]) => run(script, { condition: call('always') }))),
  });
  for (const [index, [, pattern]] of cases.entries()) assert.match(host.text(index), pattern);
  assert.deepEqual(
    host
      .steps()
      .filter((step) => step.index >= 0)
      .map((step) => step.conclusion),
    cases.map(([, , conclusion]) => conclusion),
  );
});

test('GITHUB_ENV cannot overwrite a default variable of a process, but of the env context, and can set CI', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('printf "GITHUB_SHA=evil\\nGITHUB_SHA_SHORT=ok\\nCI=no\\n" >> "$GITHUB_ENV"'),
      run(
        expr(
          call(
            'format',
            text('echo "$GITHUB_SHA {0} $GITHUB_SHA_SHORT $CI"'),
            path('env.GITHUB_SHA'),
          ),
        ),
      ),
    ]),
  });
  assert.ok(host.lines(1).includes(`${'a'.repeat(40)} evil ok no`), host.text(1));
  assert.ok(!host.messages.some(({ type }) => type === 'annotation'));
});

test('summaries beyond the number that GitHub shows are left out, and the log says so', async () => {
  const steps = Array.from({ length: 21 }, (_, i) => run(`echo ${i} >> "$GITHUB_STEP_SUMMARY"`));
  await using host = await runToEnd({ task: makeTask(steps) });
  const indexes = host.messages.flatMap((one) => (one.type === 'summary' ? [one.index] : []));
  assert.deepEqual(
    indexes,
    Array.from({ length: 20 }, (_, i) => i),
  );
  assert.ok(host.lines(20).includes('This summary is not shown: a job has at most 20.'));
});

test('workflow commands make annotations, groups, outputs and pauses', async () => {
  const script = [
    'echo "::notice file=a.js,line=3,endLine=3,col=5,endColumn=6,title=T%2Cx::50%25 %0Adone"',
    'echo "::group::G"; echo inside; echo "::endgroup::"',
    'echo "::debug::hidden"',
    'echo "::set-output name=old::value"',
    'echo "::stop-commands::pause-1234"; echo "::error::not an error"; echo "::pause-1234::"',
    'echo "::unknown::x"',
    'echo "::warning::w" >&2',
  ].join('\n');
  await using host = await runToEnd({
    task: makeTask([
      run(script, { id: 'a' }),
      run(expr(call('format', text('echo got-{0}'), path('steps.a.outputs.old')))),
    ]),
  });
  const annotations = host.messages.flatMap((message) =>
    message.type === 'annotation' ? [message.annotation] : [],
  );
  assert.deepEqual(annotations[0], {
    level: 'notice',
    message: '50% \ndone',
    title: 'T,x',
    file: 'a.js',
    line: 3,
    endLine: 3,
    column: 5,
    endColumn: 6,
  });
  assert.deepEqual(
    annotations.slice(1).map((a) => a.level),
    ['warning', 'warning'],
  );
  const lines = host.lines(0);
  for (const line of [
    '##[group]G',
    'inside',
    '##[endgroup]',
    '::error::not an error',
    '::unknown::x',
    '##[warning]w',
  ]) {
    assert.ok(lines.includes(line), line);
  }
  assert.ok(!lines.some((line) => line.includes('hidden') && line.startsWith('##[debug]')));
  assert.ok(host.lines(1).includes('got-value'));
});

test('a disabled command fails its step', async () => {
  await using host = await runToEnd({ task: makeTask([run('echo "::set-env name=A::b"')]) });
  assert.match(host.text(0), /The `set-env` command is disabled/);
  assert.equal(host.finished.conclusion, 'failure');
});

test('an expression that cannot be evaluated is the reason of the end, with its place', async () => {
  const bad = expr(call('fromjson', text('{')), "fromJSON('{')");
  await using step = await runToEnd({ task: makeTask([run('echo x', { env: map({ A: bad }) })]) });
  assert.equal(step.finished.reason, 'invalid_expression');
  assert.match(step.finished.message, /ci\.yml \(Line: 7, Col: 9\)/);
  await using job = await runToEnd({
    task: makeTask([run('echo x')], { job: { env: [map({ A: bad })] } }),
  });
  assert.equal(job.finished.reason, 'invalid_expression');
  assert.ok(!job.text().includes('echo x'));
});

test('a hashFiles that fails is an error of its expression, and steps that always run do', async () => {
  const deep = 'for i in $(seq 30); do d=$(printf %0200d 0); mkdir $d; cd $d; done';
  const asks = run('echo never', { condition: call('hashfiles', text('**')) });
  await using host = await runToEnd({
    task: makeTask([run(deep), asks, run('echo at last', { condition: call('always') })]),
  });
  assert.match(host.text(1), /hashFiles\(\) failed: ENAMETOOLONG/);
  assert.match(host.text(2), /at last/);
  assert.deepEqual(
    [host.finished.conclusion, host.finished.reason],
    ['failure', 'invalid_expression'],
  );
});

test('contexts of the run reach expressions, hashFiles looks at the workspace', async () => {
  const script = call(
    'format',
    text('echo "{0} {1} {2} {3} {4} {5}"'),
    path('matrix.os'),
    path('needs.a.outputs.v'),
    path('vars.V'),
    path('inputs.I'),
    path('runner.os'),
    call('hashfiles', text('**/*.lock'), text('!skip/**')),
  );
  await using host = await runToEnd({
    task: makeTask(
      [run('mkdir -p x skip; printf 1 > x/a.lock; printf 2 > skip/b.lock'), run(expr(script))],
      {
        contexts: {
          matrix: { os: 'linux' },
          needs: { a: { result: 'success', outputs: { v: 'nv' } } },
          vars: { V: 'vv' },
          inputs: { I: 'iv' },
        },
      },
    ),
  });
  // sha256 of the sha256 of "1", as printf 1 | sha256sum | xxd -r -p | sha256sum says.
  const digest = '9c2e4d8fe97d881430de4e754b4205b9c27ce96715231cffc4337340cb110280';
  assert.ok(host.lines(1).includes(`linux nv vv iv Linux ${digest}`), host.text(1));
});

test('what is not supported is refused before the job starts, naming the line', async () => {
  const uses = {
    ...run('x'),
    kind: 'uses',
    uses: 'docker://alpine:3',
    with: null,
    at: { line: 33, column: 9 },
    action: { kind: 'docker', image: 'alpine:3' },
  } as const;
  await using host = await runToEnd({ task: makeTask([run('echo started'), uses]) });
  assert.equal(host.finished.conclusion, 'refused');
  assert.equal(host.finished.reason, 'unsupported');
  assert.match(
    host.finished.message,
    /^\.github\/workflows\/ci\.yml:33:9: 'uses: docker:\/\/alpine:3'/,
  );
  assert.ok(!host.text().includes('started'));
});

test('a variable too large for Linux is named', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('echo "BIG=$(head -c 140000 /dev/zero | tr "\\0" x)" >> "$GITHUB_ENV"'),
      run('echo x'),
    ]),
  });
  assert.match(host.finished.message, /the variable 'BIG' is larger than the 131072 bytes/);
});
