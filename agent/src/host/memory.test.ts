import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeMemory, memoryRoom } from './memory.ts';

const kernel = (availableKb: number, avg10 = 0) => ({
  meminfo: `MemTotal:        1000 kB\nMemFree:  1 kB\nMemAvailable:    ${availableKb} kB\n`,
  pressure: `some avg10=${avg10.toFixed(2)} avg60=99.00 avg300=99.00 total=1\nfull avg10=0.00 total=0\n`,
});

test('a part of the memory is kept free, and what waits goes where it is short or waited for', () => {
  assert.equal(judgeMemory(0, kernel(500)), 'enough');
  assert.equal(judgeMemory(300 * 1024, kernel(500)), 'enough');
  assert.equal(judgeMemory(400 * 1024, kernel(500)), 'no more');
  assert.equal(judgeMemory(0, kernel(100)), 'no more');
  assert.equal(judgeMemory(0, kernel(40)), 'too little');
  assert.equal(judgeMemory(0, kernel(500, 30)), 'too little');
});

test('a kernel that does not tell is no reason to have less', () => {
  assert.equal(judgeMemory(1, { meminfo: '', pressure: '' }), 'enough');
});

test('this host tells, in words that are understood', async () => {
  assert.match(await memoryRoom(0), /^(enough|no more|too little)$/);
  assert.notEqual(await memoryRoom(Number.MAX_SAFE_INTEGER), 'enough');
});
