import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Job, Run } from '@onejob/protocol';
import {
  checkHostAfterEach,
  eventually,
  filesBelow,
  listProcesses,
  startConstellation,
  type Constellation,
} from '@onejob/testing';

checkHostAfterEach();

const random = (): string => randomBytes(15).toString('hex');

/** Characters that encodings change; several lines; JSON in JSON. */
const SECRETS = {
  PLAIN: random(),
  URLISH: `p@ss/w rd+${random()}&=?#ü`,
  QUOTED: `it's "${random()}" \\ $HOME`,
  JSONISH: JSON.stringify({ user: 'u', password: `"${random()}"` }),
  LINES: `-----BEGIN ${random()}-----\n${random()}\n${random()}==\n-----END KEY-----`,
  BROKEN: `[1, "${random()}", `,
};
/** The job makes it out of what nobody would call a secret, and then asks to hide it. */
const LEARNED = random();
const MARKER = `visible-${random()}`;

const NODE = JSON.stringify(process.execPath);
const workflow = (gate: string): string => `
on: push
env:
  LEARN: ${[...LEARNED].toReversed().join('')}
jobs:
  leaky:
    runs-on: ubuntu-latest
    outputs:
      clean: \${{ steps.leak.outputs.clean }}
      plain: \${{ steps.leak.outputs.plain }}
      encoded: \${{ steps.leak.outputs.encoded }}
      learned: \${{ steps.leak.outputs.learned }}
    steps:
      - name: Named \${{ secrets.PLAIN }} and \${{ secrets.URLISH }}
        id: leak
        env:
${Object.keys(SECRETS)
  .map((name) => `          ${name}: \${{ secrets.${name} }}\n`)
  .join('')}
        run: |
          echo "this is ${MARKER}"
          for name in ${Object.keys(SECRETS).join(' ')}; do
            value="\${!name}"
            echo "value of $name: <$value>"
            printf '%s' "$value" | base64 -w0; echo
            printf 'a%s' "$value" | base64 -w0; echo
            printf 'ab%s' "$value" | base64
            printf '%q\\n' "$value"
            echo "::notice title=t $value,file=f $value::message $value"
            echo "::warning::$value"
            echo "::debug::$value"
            echo "::group::$value"
            echo "summary of $name: $value" >> "$GITHUB_STEP_SUMMARY"
            echo "$value" >&2
          done
          ${NODE} -p 'for (const name of process.argv.slice(1)) { const value = process.env[name]; console.log(encodeURIComponent(value), JSON.stringify(value), JSON.stringify(JSON.stringify({ value }))); } "end"' ${Object.keys(SECRETS).join(' ')}
          echo "$LINES" | sed -n 2p
          printf '%s' "\${PLAIN:0:11}"; sleep 0.2; printf '%s\\n' "\${PLAIN:11}"
          set -x
          true "$PLAIN"
          true "$LINES" "$QUOTED"
          set +x
          learned="$(printf '%s' "$LEARN" | rev)"
          echo "::add-mask::$learned"
          echo "now $learned is hidden, and $(printf '%s' "$learned" | base64) too"
          { echo clean=42; echo "plain=x\${PLAIN}x"; echo "learned=$learned"
            echo "encoded=$(printf '%s' "$PLAIN" | base64 -w0)"; } >> "$GITHUB_OUTPUT"
          echo "all said"
          bash -c 'while [ ! -e ${gate} ]; do sleep 0.05; done' ${MARKER}
      - name: A directory that is not there
        continue-on-error: true
        working-directory: /nowhere/\${{ secrets.PLAIN }}
        run: echo never
      - name: Not JSON
        run: echo \${{ fromJSON(secrets.BROKEN).key }}
  later:
    needs: leaky
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: echo "got <\${{ needs.leaky.outputs.clean }}> and <\${{ needs.leaky.outputs.plain }}>"
`;

/** Everything a value must not be found as. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const encoded = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    // Only characters that are made of the secret alone.
    return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
  });
  const lines = secret.split('\n').filter((line) => line.length > 16);
  const json = JSON.stringify(secret).slice(1, -1);
  const jsonInJson = JSON.stringify(json).slice(1, -1);
  return [secret, ...lines, ...encoded, encodeURIComponent(secret), json, jsonInJson];
}

const FORBIDDEN = [...new Set([...Object.values(SECRETS), LEARNED].flatMap(formsOf))];

/** Which of the texts are in there, by place. */
function found(places: Iterable<readonly [string, Buffer]>, texts: readonly string[]): string[] {
  return [...places].flatMap(([place, bytes]) =>
    texts.filter((text) => bytes.includes(text)).map((text) => `${text} in ${place}`),
  );
}

function* contentOf(directory: string): Generator<[string, Buffer]> {
  for (const path of filesBelow(directory)) {
    yield ['the name of a file', Buffer.from(path)];
    try {
      if (statSync(path).isFile()) yield [path, readFileSync(path)];
    } catch {
      // gone meanwhile
    }
    if (path.endsWith('.git')) {
      const all = ['--git-dir', path, 'cat-file', '--batch-all-objects', '--batch'];
      yield [`objects of ${path}`, execFileSync('git', all, { maxBuffer: 64 * 1024 * 1024 })];
    }
  }
}

const commandLines = (): [string, Buffer][] =>
  listProcesses().map(({ pid, commandLine }) => [`process ${pid}`, Buffer.from(commandLine)]);

async function whatTheApiSays({ api }: Constellation, run: Run): Promise<[string, Buffer][]> {
  const said: unknown[] = [await api.run(run.id), await api.hosts()];
  for (const { id } of run.jobs) {
    said.push(await api.log(id, 0), await api.transitions(id));
    said.push(await api.summaries(id), await api.egress(id));
  }
  return said.map((one) => ['an answer of the API', Buffer.from(JSON.stringify(one))]);
}

test('no secret is in the clear anywhere: not in answers, files or command lines, while a job runs that tries hard, nor after', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-gate-'));
  const gate = join(directory.path, 'gate');
  await using constellation = await startConstellation();
  const data = constellation.controlPlane.dataDirectory;
  const run = await constellation.start({ workflow: workflow(gate), secrets: { ...SECRETS } });
  const leaky = run.jobs[0]!.id;
  await eventually('the job had said all', async () => {
    const { rows } = await constellation.api.log(leaky, 0);
    const isOver = (await constellation.api.run(run.id)).state === 'finished';
    return isOver || rows.some(({ text }) => text === 'all said') ? true : undefined;
  });
  // What is not secret is found in the same places: the search works.
  assert.notDeepEqual(found(contentOf(data), [MARKER]), []);
  assert.notDeepEqual(found(commandLines(), [MARKER]), []);
  assert.notDeepEqual(found(await whatTheApiSays(constellation, run), [MARKER]), []);
  const whileItRuns = [
    ...contentOf(data),
    ...contentOf(join(constellation.agentDirectory, 'journals')),
    ...commandLines(),
    ...(await whatTheApiSays(constellation, run)),
  ];
  assert.deepEqual(found(whileItRuns, FORBIDDEN), []);

  writeFileSync(gate, '');
  const { run: ended, logs } = await constellation.ended(run);
  assertSaid(ended.jobs.find(({ key }) => key === 'leaky')!);
  const [summary] = await constellation.api.summaries(leaky);
  assert.match(summary?.markdown ?? '', /^summary of PLAIN: \*\*\*$/m);
  const later = logs['later']?.map(({ text }) => text) ?? [];
  assert.ok(later.includes('got <42> and <>'), later.join('\n'));
  const texts = logs['leaky']?.map(({ text }) => text) ?? [];
  assert.ok(texts.includes('value of PLAIN: <***>'), texts.join('\n'));
  assert.ok(texts.some((text) => text.startsWith('now *** is hidden, and ***')));

  const after = [...(await whatTheApiSays(constellation, ended)), ...commandLines()];
  assert.deepEqual(found(after, FORBIDDEN), []);
  assert.deepEqual(found([['logs', Buffer.from(JSON.stringify(logs))]], FORBIDDEN), []);
  await constellation.withControlPlaneDown(async () => {
    // Everything the database held in memory is in its files now.
    assert.notDeepEqual(found(contentOf(constellation.directory), [MARKER]), []);
    assert.deepEqual(found(contentOf(constellation.directory), FORBIDDEN), []);
  });
});

/** The job did say all those things, and what was kept of them is masked. */
function assertSaid(job: Job): void {
  assert.equal(job.conclusion, 'failure');
  assert.match(job.endMessage, /\.github\/workflows\/test\.yml/);
  assert.deepEqual(job.outputs, { clean: '42' });
  const names = job.steps.map(({ name }) => name);
  assert.ok(names.includes('Named *** and ***'), names.join('\n'));
  const annotations = job.annotations.map(({ annotation }) => annotation);
  assert.ok(annotations.some(({ title, file }) => title === 't ***' && file === 'f ***'));
  assert.ok(annotations.some(({ message }) => message === 'message ***'));
  assert.ok(annotations.some(({ message }) => message.includes('/nowhere/***')));
}
