import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectAcquireOptions } from './apt-configuration.ts';

test('how to reach archives is taken over from the host, its hooks and extra indexes are not', () => {
  const dump = [
    'Acquire::http::Proxy "http://proxy.example:3142"',
    'Acquire::https::mirror.example::CAInfo "/etc/ssl/own.pem"',
    'Acquire::Retries "3"',
    'Acquire::Check-Valid-Until "false"',
    'Acquire::IndexTargets::deb::DEP-11::MetaKey "dep11.yml"',
    'Acquire::Languages:: "none"',
    'APT::Update::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb"',
    'Dir::Cache::pkgcache ""',
    'Acquire::http::Empty ""',
  ].join('\n');
  assert.deepEqual(selectAcquireOptions(dump).slice(0, 4), dump.split('\n').slice(0, 4));
  assert.deepEqual(
    selectAcquireOptions(dump)
      .slice(4)
      .map((line) => line.split(' ')[0]),
    ['Dir::Etc::netrc', 'Dir::Etc::netrcparts'],
  );
});
