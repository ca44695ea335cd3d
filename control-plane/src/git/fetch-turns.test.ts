import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FetchTurns } from './fetch-turns.ts';

const never = new AbortController().signal;

test('one tenant has its share of the turns, and others go past what it has waiting', async () => {
  const turns = new FetchTurns({ all: 3, tenant: 2 });
  const order: string[] = [];
  const take = async (tenant: string, name: string): Promise<Disposable> => {
    const turn = await turns.take(tenant, never);
    order.push(name);
    return turn;
  };
  const greedy = [await take('greedy', 'a'), await take('greedy', 'b')];
  const third = take('greedy', 'c');
  const other = await take('other', 'd');
  const late = take('late', 'e');
  assert.deepEqual(order, ['a', 'b', 'd'], 'the third of one tenant, and the fourth of all, wait');
  other[Symbol.dispose]();
  const laterTurn = await late;
  assert.deepEqual(order, ['a', 'b', 'd', 'e']);
  greedy[0]![Symbol.dispose]();
  (await third)[Symbol.dispose]();
  greedy[1]![Symbol.dispose]();
  laterTurn[Symbol.dispose]();
  const again = [
    await take('greedy', 'f'),
    await take('greedy', 'g'),
    await take('other', 'h'),
  ] as const;
  for (const turn of again) turn[Symbol.dispose]();
});

test('who gives up waiting takes no turn away from others', async () => {
  const turns = new FetchTurns({ all: 1, tenant: 1 });
  const first = await turns.take('a', never);
  const impatient = new AbortController();
  const given = assert.rejects(turns.take('b', impatient.signal), /enough/);
  const patient = turns.take('c', never);
  impatient.abort(new Error('enough'));
  await given;
  first[Symbol.dispose]();
  (await patient)[Symbol.dispose]();
  await assert.rejects(turns.take('d', impatient.signal), /enough/, 'gone before it asked');
});
