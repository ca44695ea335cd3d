import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  LOG_JOB_BYTES,
  LOG_ROW_BYTES,
  LOG_WINDOW_BYTES,
  MASKS_PER_JOB,
} from '@onejob/protocol/limits';
import { runToEnd, TestHost } from './_host.ts';
import { call, expr, makeTask, map, path, run, text } from './_task.ts';

/** A runner that stands still just when it waits for the last output of a step. */
const STALL = new URL('./_stall.mjs', import.meta.url).pathname;
const SECRET = 'hunter2-secret-value';
/** Everything the host got, as text. */
const everything = (host: TestHost): string =>
  host.text() + JSON.stringify(host.messages.filter((message) => message.type !== 'mask'));

test('a secret shows nowhere: not in rows, names, annotations, summaries or the last message', async () => {
  const show = call(
    'format',
    text(
      'echo {0}; echo {0} | base64; echo "::error title={0}::{0}"; echo {0} >> "$GITHUB_STEP_SUMMARY"; exit 1',
    ),
    path('secrets.S'),
  );
  await using host = await runToEnd({
    task: makeTask([run(expr(show), { env: map({ S: expr(path('secrets.S')) }) })], {
      secrets: { S: SECRET },
    }),
  });
  assert.ok(!everything(host).includes(SECRET), everything(host));
  assert.ok(!everything(host).includes(btoa(SECRET).slice(0, 20)));
  assert.ok(host.lines(0).includes('***'));
  assert.ok(host.lines(0).includes('  S: ***'));
  assert.deepEqual(host.violations, []);
});

test('the job token is masked, plain and as git sends it', async () => {
  const script = expr(
    call('format', text('echo {0}; printf "x-access-token:%s" {0} | base64'), path('github.token')),
  );
  await using host = await runToEnd({ task: makeTask([run(script)]) });
  assert.equal(host.lines(0).filter((line) => line === '***').length, 2, host.text());
});

test('add-mask hides what comes after it and tells the host', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('v=$(printf made-; printf up); echo "::add-mask::$v"; echo "now $v"'),
      run('printf "later made-"; sleep 0.1; echo up'),
    ]),
  });
  assert.ok(host.lines(0).includes('now ***'));
  assert.ok(host.lines(1).includes('later ***'));
  assert.deepEqual(
    host.messages.filter((m) => m.type === 'mask'),
    [{ type: 'mask', value: 'made-up' }],
  );
});

test('add-mask of a process left behind counts, however long the runner itself got no processor', async () => {
  const late = 'until [ -e ~/stalled ]; do sleep 0.01; done; v=$(printf made-; printf up)';
  const said = 'echo "::add-mask::$v"; echo "now $v"; touch ~/written';
  await using host = await runToEnd({
    task: makeTask([run(`sh -c '${late}; ${said}' & echo started`)]),
    environment: { NODE_OPTIONS: `--import=${STALL}` },
  });
  assert.ok(existsSync(join(host.directory, 'stalled')), 'the runner did not stand still');
  assert.ok(host.lines(0).includes('now ***'), host.text());
});

test('what the log has is on its way before a process is started, which takes its time', async () => {
  const slow = new URL('./_slow-fork.mjs', import.meta.url).pathname;
  await using host = await new TestHost({
    task: makeTask([run('echo said')]),
    environment: { NODE_OPTIONS: `--import=${slow}` },
  }).start();
  host.onRow = ({ text: row }) => {
    if (row.startsWith('##[group]Run echo')) writeFileSync(join(host.directory, 'seen'), '');
  };
  await host.exit();
  assert.ok(host.lines(0).includes('said'));
  assert.ok(!existsSync(join(host.directory, 'late')), 'it came when the process was there');
});

test('a job output that holds a secret is dropped with a warning', async () => {
  const outputs = map({
    good: expr(path('steps.a.outputs.good')),
    bad: expr(path('steps.a.outputs.bad')),
  });
  const script = expr(
    call('format', text('printf "good=1\\nbad=x{0}x\\n" >> "$GITHUB_OUTPUT"'), path('secrets.S')),
  );
  await using host = await runToEnd({
    task: makeTask([run(script, { id: 'a' })], { secrets: { S: SECRET }, job: { outputs } }),
  });
  assert.deepEqual(host.finished.outputs, { good: '1' });
  assert.match(host.text(-1), /Skip output 'bad' since it may contain secret/);
});

test('a secret across a row cut is masked, and rows are cut at UTF-8 boundaries', async () => {
  const script = `import os,sys\nw=sys.stdout.write\nw('a'*(${LOG_ROW_BYTES}-5)+os.environ['S']+'é'*${LOG_ROW_BYTES}+'\\n')`;
  await using host = await runToEnd({
    task: makeTask([run(script, { shell: 'python', env: map({ S: expr(path('secrets.S')) }) })], {
      secrets: { S: SECRET },
    }),
  });
  assert.ok(!everything(host).includes('hunter2'));
  const rows = host.lines(0).slice(-3);
  assert.ok(
    rows.every((row) => Buffer.byteLength(row) <= LOG_ROW_BYTES && !row.includes('\ufffd')),
  );
  assert.equal(rows.join(''), `${'a'.repeat(LOG_ROW_BYTES - 5)}***${'é'.repeat(LOG_ROW_BYTES)}`);
});

test('invalid UTF-8 and NUL become replacement characters, carriage returns end rows', async () => {
  await using host = await runToEnd({
    task: makeTask([run("printf 'a\\377b\\000c\\r10%%\\r20%%\\r\\nno end'")]),
  });
  assert.deepEqual(host.lines(0).slice(-4), ['a\ufffdb\ufffdc', '10%', '20%', 'no end']);
});

test('without acknowledgements the step is not read beyond the window, with them it goes on', async () => {
  const task = makeTask([
    run('yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 20000000'),
  ]);
  await using host = await new TestHost({ task, acknowledges: false }).start();
  const { promise: stalled, resolve } = Promise.withResolvers<void>();
  const bytes = (): number => host.rows.reduce((sum, row) => sum + row.text.length, 0);
  let timer: NodeJS.Timeout | undefined;
  host.onRow = () => {
    clearTimeout(timer);
    // Silence before the flood is none.
    timer = setTimeout(() => bytes() > LOG_WINDOW_BYTES / 4 && resolve(), 500);
  };
  await Promise.race([stalled, host.exit()]);
  clearTimeout(timer);
  assert.ok(bytes() > LOG_WINDOW_BYTES / 4 && bytes() < LOG_WINDOW_BYTES * 1.2, `${bytes()}`);
  host.onRow = () => host.acknowledge(host.rows.length);
  host.acknowledge(host.rows.length);
  await host.exit();
  assert.equal(host.finished.conclusion, 'success');
  assert.equal(host.rows.reduce((sum, row) => sum + row.text.length + 1, 0) > 20_000_000, true);
});

test('a log over the cap ends with a row that says what was dropped, and the job is not blocked', async () => {
  const bytes = LOG_JOB_BYTES + 30_000_000;
  await using host = await runToEnd({
    task: makeTask(
      [
        run(`head -c ${bytes} /dev/zero | tr '\\0' x`),
        run('echo "o=1" >> "$GITHUB_OUTPUT"', { id: 'b' }),
      ],
      {
        job: { outputs: map({ o: expr(path('steps.b.outputs.o')) }) },
      },
    ),
  });
  assert.deepEqual(host.finished.outputs, { o: '1' });
  const last = host.rows.at(-1)!;
  assert.match(last.text, /longer than 67108864 bytes: \d+ bytes were dropped/);
  const kept = host.rows.reduce((sum, row) => sum + row.text.length, 0);
  assert.ok(kept > LOG_JOB_BYTES * 0.98 && kept <= LOG_JOB_BYTES + 200, `${kept}`);
  assert.deepEqual(host.violations, []);
});

test('a very long line without end passes in constant memory', async () => {
  const task = makeTask([run("head -c 300000000 /dev/zero | tr '\\0' x")]);
  await using host = await new TestHost({ task }).start();
  let peakKb = 0;
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${host.pid}/status`, 'latin1');
      peakKb = Math.max(peakKb, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      clearInterval(timer);
    }
  }, 20);
  await host.exit();
  clearInterval(timer);
  assert.equal(host.finished.conclusion, 'success');
  // What a runner with an empty job takes, and 150 MB.
  assert.ok(peakKb > 0 && peakKb < 300_000, `${peakKb} kB`);
});

test('lines of stdout and stderr keep the order in which they were written', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run(
        'for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; echo dev$i > /dev/stderr; done',
      ),
    ]),
  });
  const expected = [1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((i) => [`out${i}`, `err${i}`, `dev${i}`]);
  assert.deepEqual(host.lines(0).slice(-27), expected);
});

test('a value that cannot be masked ends the job before it is shown', async () => {
  // Put together by the shell: the script itself is shown.
  const script = `n=${MASKS_PER_JOB + 1}
for i in $(seq $n); do echo "::add-mask::value-number-$i-xyz"; done
echo "value-number-$n-xyz"
echo "::error::value-number-$n-xyz"
echo "value-number-$n-xyz" >> "$GITHUB_STEP_SUMMARY"
echo "o=value-number-$n-xyz" >> "$GITHUB_OUTPUT"
sleep 60`;
  const outputs = map({ o: expr(path('steps.a.outputs.o')) });
  await using host = await runToEnd({
    task: makeTask([run(script, { id: 'a' }), run('echo later')], { job: { outputs } }),
  });
  assert.ok(!everything(host).includes(`value-number-${MASKS_PER_JOB + 1}-xyz`));
  assert.ok(!host.text().includes('later'));
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(host.finished.message, /could not be masked.*More than 10000 values/);
  assert.match(host.text(-1), /could not be masked.*is not shown/);
});

test('a line that adds a mask and is too long ends the job before it is shown', async () => {
  const script = `v=$(head -c 1200000 /dev/zero | tr '\\0' x)
echo "::add-mask::the-secret-$v"
echo "the-secret-is-here"
sleep 60`;
  await using host = await runToEnd({ task: makeTask([run(script), run('echo later')]) });
  assert.ok(!host.text().includes('xxx') && !host.text().includes('later'));
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(
    host.finished.message,
    /could not be masked.*line that adds it is longer than 1048576/,
  );
  // Where commands are stopped, it is text.
  const stopped = `echo "::stop-commands::go-on"
v=$(head -c 1200000 /dev/zero | tr '\\0' x); echo "::add-mask::the-text-$v"
echo "::go-on::"; echo fine`;
  await using other = await runToEnd({ task: makeTask([run(stopped)]) });
  assert.equal(other.finished.conclusion, 'success');
  assert.ok(other.text().includes('::add-mask::the-text-xxx') && other.lines().includes('fine'));
});
