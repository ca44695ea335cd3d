/** Events against `on:`, by the sentences of GitHub's documentation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@onejob/protocol';
import fc from 'fast-check';
import { parsed } from '../../tests/_workflows.ts';
import { isTriggered, type TriggerEvent } from './match.ts';

function starts(on: string, event: Partial<TriggerEvent> & { name: string }): boolean {
  const workflow = parsed(`on:\n${on}\njobs: { a: { runs-on: x, steps: [{ run: a }] } }\n`);
  const known = { payload: {}, ref: 'refs/heads/main', changedFiles: null, headMessage: null };
  const whole = { ...known, ...event };
  const { triggered, why } = isTriggered(workflow, whole);
  assert.ok(why.length > 10);
  return triggered;
}
const push = (ref: string, changedFiles: string[] | null = null) => ({
  name: 'push',
  ref,
  changedFiles,
});
const pull = (action: string | null, base = 'main'): { name: string; payload: JsonObject } => ({
  name: 'pull_request',
  payload: { ...(action === null ? {} : { action }), pull_request: { base: { ref: base } } },
});

test('an event that `on` does not name starts nothing, and the answer says what it names', () => {
  const workflow = parsed('on: [push, fork]\njobs: { a: { runs-on: x, steps: [{ run: a }] } }\n');
  const event = {
    ...{ name: 'issues', payload: {}, ref: 'refs/heads/main' },
    ...{ changedFiles: null, headMessage: null },
  };
  assert.deepEqual(isTriggered(workflow, event), {
    triggered: false,
    why: "`on` does not name 'issues' (it names 'push', 'fork')",
  });
});

test('branches, branches-ignore and the order of ! patterns', () => {
  const on = '  push: { branches: ["releases/**", "!releases/**-alpha", "releases/x-alpha"] }';
  assert.equal(starts(on, push('refs/heads/releases/10')), true);
  assert.equal(starts(on, push('refs/heads/releases/beta/3-alpha')), false);
  assert.equal(starts(on, push('refs/heads/releases/x-alpha')), true);
  assert.equal(starts(on, push('refs/heads/main')), false);
  const ignore = '  push: { branches-ignore: ["mona/*", "re**"] }';
  assert.equal(starts(ignore, push('refs/heads/mona/x')), false);
  assert.equal(starts(ignore, push('refs/heads/main')), true);
});

test('naming only branches excludes tags, and only tags branches; naming neither takes both', () => {
  assert.equal(starts('  push: { branches: [main] }', push('refs/tags/v1')), false);
  assert.equal(starts('  push: { branches-ignore: [x] }', push('refs/tags/v1')), false);
  assert.equal(starts('  push: { tags: [v1] }', push('refs/heads/v1')), false);
  assert.equal(starts('  push: { tags: [v1] }', push('refs/tags/v1')), true);
  assert.equal(starts('  push: { tags-ignore: ["v*"] }', push('refs/tags/v1')), false);
  assert.equal(starts('  push: { branches: [main], tags: [v1] }', push('refs/tags/v1')), true);
  assert.equal(starts('  push: { branches: [main], tags: [v1] }', push('refs/heads/main')), true);
  assert.equal(starts('  push:', push('refs/tags/v1')), true);
});

test('paths need one file that passes; unknown files pass; tags do not look at paths', () => {
  const on = '  push: { paths: ["sub/**", "!sub/docs/**"] }';
  assert.equal(starts(on, push('refs/heads/main', ['sub/a.js', 'README.md'])), true);
  assert.equal(starts(on, push('refs/heads/main', ['sub/docs/a.md'])), false);
  assert.equal(starts(on, push('refs/heads/main', ['sub/docs/a.md', 'sub/x'])), true);
  assert.equal(starts(on, push('refs/heads/main', [])), false);
  assert.equal(starts(on, push('refs/heads/main', null)), true);
  assert.equal(starts(on, push('refs/tags/v1', ['README.md'])), true);
});

test('paths-ignore keeps a workflow from starting when every file is ignored', () => {
  const on = '  push: { paths-ignore: ["docs/**"] }';
  assert.equal(starts(on, push('refs/heads/main', ['docs/a.md'])), false);
  assert.equal(starts(on, push('refs/heads/main', ['docs/a.md', 'x.js'])), true);
});

test('pull_request starts on its three default activities and looks at the base branch', () => {
  for (const action of ['opened', 'synchronize', 'reopened', null]) {
    assert.equal(starts('  pull_request:', pull(action)), true, String(action));
  }
  assert.equal(starts('  pull_request:', pull('labeled')), false);
  assert.equal(starts('  pull_request: { types: [labeled] }', pull('labeled')), true);
  assert.equal(starts('  pull_request: { types: [labeled] }', pull('opened')), false);
  assert.equal(starts('  pull_request: { branches: ["release/*"] }', pull('opened')), false);
  assert.equal(
    starts('  pull_request: { branches: ["release/*"] }', pull('opened', 'release/1')),
    true,
  );
});

test('other events start on every activity unless types are named', () => {
  const issue = (action: string) => ({ name: 'issues', payload: { action } });
  assert.equal(starts('  issues:', issue('pinned')), true);
  assert.equal(starts('  issues: { types: [opened] }', issue('pinned')), false);
});

test('workflow_run looks at names of workflows and the head branch', () => {
  const on = '  workflow_run: { workflows: [Build], types: [completed], branches: [main] }';
  const run = (name: string, branch: string, action = 'completed') => ({
    name: 'workflow_run',
    payload: { action, workflow_run: { name, head_branch: branch } },
  });
  assert.equal(starts(on, run('Build', 'main')), true);
  assert.equal(starts(on, run('Test', 'main')), false);
  assert.equal(starts(on, run('Build', 'dev')), false);
  assert.equal(starts(on, run('Build', 'main', 'requested')), false);
});

test('a push whose last commit asks to be skipped starts nothing; other events do', () => {
  const says = (name: string, message: string) =>
    starts(`  ${name}:`, { name, payload: { head_commit: { message } } });
  for (const word of ['skip ci', 'ci skip', 'no ci', 'skip actions', 'actions skip']) {
    assert.equal(says('push', `Mend it [${word}]\n\nbody`), false, word);
  }
  assert.equal(says('push', 'skip ci, and do not'), true);
  assert.equal(says('fork', 'Mend it [skip ci]'), true);
});

test('skip-checks is the last trailer, and two empty lines are before the trailers', () => {
  const says = (message: string) =>
    starts('  push:', { name: 'push', payload: { head_commit: { message } } });
  const signed = 'Signed-off-by: A <a@example.com>';
  for (const skipped of [
    'Mend it\n\n\nskip-checks: true\n',
    'Mend it\n\nbody\n\n\nskip-checks:true',
    `Mend it\n\n\n${signed}\nskip-checks: true\n\n`,
    'Mend it\r\n\r\n\r\nskip-checks: true\r\n',
  ]) {
    assert.equal(says(skipped), false, JSON.stringify(skipped));
  }
  for (const started of [
    'Mend it\n\nskip-checks: true',
    'Mend it\nskip-checks: true',
    'skip-checks: true',
    `Mend it\n\n\nskip-checks: true\n${signed}`,
    'Mend it\n\n\nskip-checks: true\n\nbody',
    'Mend it\n\n\nskip-checks: true, it says',
    'Mend it\n\n\nskip-checks:  true',
  ]) {
    assert.equal(says(started), true, JSON.stringify(started));
  }
});

test('a pull request is skipped by the message of its newest commit, one on the base side is not', () => {
  const says = (name: string, headMessage: string | null) =>
    starts(`  ${name}:`, { ...pull('opened'), name, headMessage });
  assert.equal(says('pull_request', 'Mend it [skip ci]'), false);
  assert.equal(says('pull_request', 'Mend it\n\n\nskip-checks: true'), false);
  assert.equal(says('pull_request', 'Mend it'), true);
  assert.equal(says('pull_request', null), true);
  assert.equal(says('pull_request_target', 'Mend it [skip ci]'), true);
});

test('a schedule starts the workflow that has it; without one named, every workflow with schedules', () => {
  const on = "  schedule: [{ cron: '0 5 * * 1' }, { cron: '30 5 * * 4' }]";
  const named = (schedule: string) => ({ name: 'schedule', payload: { schedule } });
  assert.equal(starts(on, named('30 5 * * 4')), true);
  assert.equal(starts(on, named('0 0 * * *')), false);
  assert.equal(starts(on, { name: 'schedule' }), true);
});

/** `x*` is what begins so, anything else itself; `!` takes away what an earlier one brought. */
function passes({ patterns, ignore }: { patterns: string[]; ignore: boolean }, name: string) {
  const fitting = patterns.filter((written) => {
    const pattern = written.replace(/^!/, '');
    return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  });
  const selected = fitting.length > 0 && fitting.at(-1)?.startsWith('!') === false;
  return selected !== ignore;
}

test('a push passes the filters of branches, tags and paths together as the documentation says', () => {
  const pattern = fc.constantFrom('a', 'b', 'ab', 'a*', 'b*', '*');
  const signed = fc.tuple(fc.constantFrom('', '', '!'), pattern).map((parts) => parts.join(''));
  const including = fc
    .array(signed, { minLength: 1, maxLength: 4 })
    .filter((patterns) => patterns.some((one) => !one.startsWith('!')))
    .map((patterns) => ({ patterns, ignore: false }));
  const ignoring = fc
    .array(pattern, { minLength: 1, maxLength: 3 })
    .map((patterns) => ({ patterns, ignore: true }));
  const filter = fc.option(fc.oneof(including, ignoring), { freq: 2, nil: null });
  const filters = fc.record({ branches: filter, tags: filter, paths: filter });
  const name = fc.constantFrom('a', 'b', 'ab', 'ba', 'c');
  const pushed = fc.record({
    kind: fc.constantFrom('heads', 'tags'),
    name,
    files: fc.option(fc.array(name, { maxLength: 3 }), { freq: 4, nil: null }),
  });
  let [started, not] = [0, 0];
  fc.assert(
    fc.property(filters, pushed, (given, { kind, name: ref, files }) => {
      const keys = Object.entries(given).flatMap(([key, one]) =>
        one === null
          ? []
          : [`${key}${one.ignore ? '-ignore' : ''}: ${JSON.stringify(one.patterns)}`],
      );
      const { branches, tags, paths } = given;
      const [own, other] = kind === 'heads' ? [branches, tags] : [tags, branches];
      const byRef = own === null ? other === null : passes(own, ref);
      const isSeen = kind === 'heads' && paths !== null && files !== null;
      const byPath = !isSeen || files.some((file) => passes(paths, file));
      const said = starts(`  push: { ${keys.join(', ')} }`, push(`refs/${kind}/${ref}`, files));
      assert.equal(said, byRef && byPath, keys.join(', '));
      if (said) started++;
      else not++;
    }),
    { numRuns: 1500 },
  );
  assert.ok(started > 200 && not > 200, `${started} started, ${not} did not`);
});
