import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCheckoutInputs } from './inputs.ts';
import { findPlace, type Surroundings } from './place.ts';

const AROUND: Surroundings = {
  source: { repository: 'acme/app' },
  repository: 'acme/App',
  ownServer: 'http://onejob.localhost:7',
  otherServer: 'https://github.com',
};
const find = (given: Record<string, string>, around: Partial<Surroundings> = {}) =>
  findPlace(readCheckoutInputs(new Map(Object.entries(given))), { ...AROUND, ...around });

test('the run’s own repository comes over the link, however its name is written', () => {
  for (const given of [
    {},
    { repository: 'ACME/app' },
    { 'github-server-url': 'http://onejob.localhost:7/' },
    { 'ssh-key': 'key' },
  ]) {
    const place = find(given);
    assert.equal(place.url, 'http://onejob.localhost:7/acme/app');
    assert.deepEqual(
      [place.isOwn, place.isOfRun, place.server],
      [true, true, 'https://github.com'],
    );
  }
});

test('every other repository is on the server of the host, or on the one that is named', () => {
  assert.equal(find({ repository: 'acme/lib' }).url, 'https://github.com/acme/lib');
  const named = { 'github-server-url': 'https://forge.test:8443/git/' };
  const place = find(named);
  assert.deepEqual(
    [place.url, place.isOwn, place.isOfRun],
    ['https://forge.test:8443/git/acme/app', false, true],
  );
  const odd = find({ ...named, repository: 'a/b%c?' });
  assert.equal(odd.webUrl, 'https://forge.test:8443/git/a/b%25c%3F');
});

test('with a key of ssh the address is one of ssh', () => {
  const place = find({ repository: 'acme/lib', 'ssh-key': 'key', 'ssh-user': 'me' });
  assert.equal(place.url, 'me@github.com:acme/lib.git');
  assert.equal(find({ 'ssh-key': 'key' }).baseUrl, 'git@github.com:acme/app.git');
});

test('a name or an address that is none is refused with the input', () => {
  for (const repository of ['app', 'a/b/c', '/b', 'a/', 'a b/c']) {
    assert.throws(() => find({ repository }), /Expected format \{owner\}\/\{repo\}/, repository);
  }
  for (const url of ['github.com', 'ssh://x.test', 'https://me:geheim@x.test', 'file:///etc']) {
    assert.throws(
      () => find({ 'github-server-url': url }),
      (error: Error) =>
        /'github-server-url' must/.test(error.message) && !/geheim/.test(error.message),
      url,
    );
  }
  assert.throws(() => find({ repository: 'a/b' }, { otherServer: '' }), /set ONEJOB_ACTIONS_URL/);
  assert.throws(() => find({}, { source: null }), /this run has no repository to check out/);
});
