import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlannedJob } from '@onejob/workflow';
import { PLAN_CHARACTERS, PLAN_LEG_CHARACTERS } from '../limits.ts';
import { LegRoom, PlanSize } from './plan-size.ts';

const text = (characters: number): string => 'x'.repeat(characters);
/** A job that is as long as JSON. */
const jobOf = (characters: number): PlannedJob =>
  ({ key: text(characters) }) as unknown as PlannedJob;

test('a plan with more text than an answer may have is refused by its limit', () => {
  const size = new PlanSize();
  size.add({ a: [text(PLAN_CHARACTERS / 2)], b: null });
  assert.throws(() => size.add([text(PLAN_CHARACTERS / 2)]), /more than 16 MiB of text/);
});

test('legs are shown one by one as long as there is room to evaluate them', () => {
  const room = new LegRoom();
  const job = jobOf(PLAN_LEG_CHARACTERS / 3);
  let evaluated = 0;
  const legs = [1, 2, 3, 4].map((leg) => room.take(job, () => ((evaluated += 1), `leg ${leg}`)));
  assert.deepEqual(legs, ['leg 1', 'leg 2', null, null]);
  assert.equal(evaluated, 2);
  assert.equal(
    room.take(jobOf(10), () => 'small'),
    'small',
  );
});

test('text of legs leaves half of a plan to its jobs, so that no plan is refused for its legs', () => {
  const room = new LegRoom();
  const size = new PlanSize();
  const made = Array.from({ length: 40 }, () => room.take(jobOf(10), () => text(1024 * 1024)));
  const kept = made.filter((one) => one !== null);
  assert.equal(kept.length, 7);
  size.add(kept);
  size.add(text(PLAN_CHARACTERS / 2));
});
