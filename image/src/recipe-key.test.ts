import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import {
  builtDigest,
  PROGRAM_SOURCES,
  readPrograms,
  recipeKey,
  type RecipeInputs,
} from './recipe-key.ts';

const INPUTS: RecipeInputs = {
  archives: [],
  runner: 'digest of the runner',
  start: 'digest of its start',
  node: '24.1.0',
  npm: '11.1.0',
  programs: ['text of init', 'text of another'],
  compileCache: ['text', '--flag'],
};

test('another guest runner, another start of it, another init, Node, npm or archive is another image', () => {
  const archive = {
    ...{ uris: ['https://deb.example.org/debian'], suite: 'bookworm', components: ['main'] },
  } as unknown as RecipeInputs['archives'][number];
  const others: RecipeInputs[] = [
    { ...INPUTS, runner: 'digest of another runner' },
    { ...INPUTS, start: 'digest of another start' },
    { ...INPUTS, programs: ['text of another init', 'text of another'] },
    { ...INPUTS, programs: ['text of init', 'text of yet another'] },
    { ...INPUTS, node: '24.1.1' },
    { ...INPUTS, npm: '11.1.1' },
    { ...INPUTS, archives: [archive] },
    { ...INPUTS, compileCache: ['text', '--another-flag'] },
  ];
  const recipes = [INPUTS, ...others].map(recipeKey);
  const digests = recipes.map((key) => builtDigest(key, 'base'));
  digests.push(builtDigest(recipeKey(INPUTS), 'another kernel, or another version of a package'));
  assert.equal(new Set(digests).size, others.length + 2);
  assert.equal(builtDigest(recipeKey(structuredClone(INPUTS)), 'base'), digests[0]);
});

test('the sources of init, all that they include, and of the program that steers connections are in it', async () => {
  const names = PROGRAM_SOURCES.map((path) => basename(path));
  for (const name of ['init.c', 'steer.c', 'root-filesystem.ts']) {
    assert.ok(names.includes(name), names.join());
  }
  const texts = await readPrograms();
  assert.equal(texts.length, names.length);
  for (const [index, text] of texts.entries()) {
    const path = PROGRAM_SOURCES[index] ?? '';
    assert.equal(text, await readFile(path, 'utf8'));
    for (const [, included = ''] of text.matchAll(/^#include "(.+)"$/gm)) {
      assert.ok(PROGRAM_SOURCES.includes(join(dirname(path), included)), `${path}: ${included}`);
    }
  }
});
