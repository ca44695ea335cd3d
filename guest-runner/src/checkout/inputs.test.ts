import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCheckoutInputs } from './inputs.ts';

const read = (given: Record<string, string>) => readCheckoutInputs(new Map(Object.entries(given)));

test('inputs that are not given have the defaults of the published action', () => {
  assert.deepEqual(read({}), {
    repository: '',
    ref: '',
    token: '',
    sshKey: '',
    sshKnownHosts: '',
    sshStrict: true,
    sshUser: 'git',
    persistCredentials: true,
    path: '',
    clean: true,
    filter: '',
    sparse: [],
    coneMode: true,
    fetchDepth: 1,
    fetchTags: false,
    showProgress: true,
    lfs: false,
    submodules: 'none',
    setSafeDirectory: true,
    serverUrl: '',
  });
});

test('a flag is on where its text is true in any case, and else off', () => {
  for (const [text, flag] of [
    ['TRUE', true],
    [' true ', true],
    ['false', false],
    ['yes', false],
    ['1', false],
  ] as const) {
    assert.equal(read({ lfs: text }).lfs, flag, text);
    assert.equal(read({ clean: text }).clean, flag, text);
  }
  assert.equal(read({ clean: '' }).clean, true);
  assert.equal(read({ 'persist-credentials': '' }).persistCredentials, false);
});

test('a depth that is no positive number is all of the history', () => {
  for (const [text, depth] of [
    ['', 1],
    ['7', 7],
    ['2.9', 2],
    ['0', 0],
    ['-3', 0],
    ['many', 0],
    ['1e99', 0],
  ] as const) {
    assert.equal(read({ 'fetch-depth': text }).fetchDepth, depth, text);
  }
});

test('submodules are none, direct ones or all, and patterns are lines', () => {
  assert.equal(read({ submodules: 'Recursive' }).submodules, 'nested');
  assert.equal(read({ submodules: 'TRUE' }).submodules, 'direct');
  assert.equal(read({ submodules: 'some' }).submodules, 'none');
  assert.deepEqual(read({ 'sparse-checkout': '  a/b \n\n/*.md\n' }).sparse, ['a/b', '/*.md']);
});

test('the user of ssh is a plain name, so that it is no option', () => {
  assert.equal(read({ 'ssh-user': 'org-1234' }).sshUser, 'org-1234');
  for (const user of ['-oProxyCommand=x', 'a b', 'a@b', 'a:b', 'a;b']) {
    assert.throws(() => read({ 'ssh-user': user }), /'ssh-user' must be the name of a user/, user);
  }
});
