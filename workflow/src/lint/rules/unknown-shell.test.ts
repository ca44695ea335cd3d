import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings, job } from './_lint.ts';

test('a shell that is none is found where it is written', () => {
  const text = job('defaults: { run: { shell: zsh } }', 'steps:', '  - run: a', '    shell: node');
  const found = findings('unknown-shell', `defaults: { run: { shell: fish } }\n${text}`);
  assert.deepEqual(
    found.map((one) => one.split(' ').slice(0, 7).join(' ')),
    [
      "1:27 error There is no shell 'fish'.",
      "6:31 error There is no shell 'zsh'.",
      "9:16 error There is no shell 'node'.",
    ],
  );
  assert.match(found[2] ?? '', /bash, sh, pwsh, powershell, cmd, python; .*: `node \{0\}`$/);
});

test("GitHub's shells and a command line with {0} are left alone", () => {
  for (const shell of ['bash', 'sh', 'pwsh', 'powershell', 'cmd', 'python', 'Bash', 'perl {0}']) {
    assert.deepEqual(
      findings('unknown-shell', job('steps:', `  - { run: a, shell: ${JSON.stringify(shell)} }`)),
      [],
      shell,
    );
  }
});
