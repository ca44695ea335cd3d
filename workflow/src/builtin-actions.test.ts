import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ActionReference, UsesStep } from '@onejob/protocol';
import { builtinAction } from './builtin-actions.ts';

const sha = 'ab12'.repeat(10);
const of = (action: ActionReference) => builtinAction({ action } as UsesStep);
const repository = (owner: string, name: string, ref: string, path = '') =>
  of({ kind: 'repository', owner, repository: name, ref, path });

test('actions are known by owner and name in any case, and by any ref but a full SHA', () => {
  assert.equal(repository('actions', 'checkout', 'v4'), 'checkout');
  assert.equal(repository('Actions', 'Upload-Artifact', 'main'), 'upload-artifact');
  assert.equal(repository('actions', 'download-artifact', sha.slice(1)), 'download-artifact');
  assert.equal(repository('actions', 'checkout', sha), undefined);
  assert.equal(repository('actions', 'checkout', sha.toUpperCase()), undefined);
});

test('an action in a folder is one of its own', () => {
  assert.equal(repository('actions', 'upload-artifact', 'v4', 'merge'), undefined);
  assert.equal(repository('actions', 'checkout', 'v4', '..'), undefined);
});

test('actions of others, of addresses, and names of properties are none of them', () => {
  assert.equal(repository('acme', 'checkout', 'v4'), undefined);
  assert.equal(repository('actions', 'constructor', 'v4'), undefined);
  const url = 'https://github.com/actions/checkout';
  assert.equal(of({ kind: 'url', url, ref: 'v4' } as ActionReference), undefined);
  assert.equal(of({ kind: 'local', path: './checkout' }), undefined);
});
