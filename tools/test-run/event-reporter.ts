/**
 * A reporter for `node --test-reporter`: sends the begin and the end of every test, each as one line
 * of JSON, to file descriptor 3, where tools/test.ts listens. Standard output and standard error stay the test's own.
 */

import { AssertionError } from 'node:assert';
import { writeSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** The end of one test or suite, as it crosses the pipe. */
export interface TestEnd {
  readonly name: string;
  /** 0 for the outermost; a suite ends after what is in it. */
  readonly nesting: number;
  readonly isSuite: boolean;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly durationMs: number;
  /** For a failure: what Node calls its kind (`testCodeFailure`, `subtestsFailed`, `hookFailed`, ...). */
  readonly failureType: string | undefined;
  /** For a failure: the error with its stack and difference, for people. */
  readonly errorText: string | undefined;
}

/** One line of the pipe. `running` and `ran` come as it happens, `end` in the order of the file. */
export type TestLine =
  | { readonly kind: 'running' | 'ran'; readonly test: string }
  | { readonly kind: 'end'; readonly end: TestEnd };

const EVENTS_FD = 3;

/** The thrown value itself, not Node's wrapper, without the frames of Node's own test runner. */
function describeError(wrapper: Error): string {
  const error = wrapper.cause ?? wrapper;
  // An assertion's message holds the difference already; its fields would say it again.
  const isAssertion = error instanceof AssertionError && error.stack !== undefined;
  const text = isAssertion ? (error.stack ?? '') : inspect(error, { depth: 6 });
  return text
    .split('\n')
    .filter((line) => !/^\s+at .*\bnode:internal\//.test(line))
    .join('\n');
}

function toTestEnd(event: TestEvent): TestEnd | undefined {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { data } = event;
  const error = event.type === 'test:fail' ? event.data.details.error : undefined;
  const isExcused = (data.skip ?? false) !== false || (data.todo ?? false) !== false;
  const failureType: unknown =
    error !== undefined && 'failureType' in error ? error.failureType : undefined;
  return {
    name: data.name,
    nesting: data.nesting,
    isSuite: data.details.type === 'suite',
    outcome: isExcused ? 'skipped' : error === undefined ? 'passed' : 'failed',
    file: data.file,
    line: data.line,
    durationMs: data.details.duration_ms,
    failureType: typeof failureType === 'string' ? failureType : undefined,
    errorText: error === undefined ? undefined : describeError(error),
  };
}

function toLine(event: TestEvent): TestLine | undefined {
  if (event.type === 'test:dequeue' || event.type === 'test:complete') {
    const { name, line } = event.data;
    const kind = event.type === 'test:dequeue' ? 'running' : 'ran';
    return { kind, test: line === undefined ? name : `${name} (line ${line})` };
  }
  const end = toTestEnd(event);
  return end === undefined ? undefined : { kind: 'end', end };
}

/** Consumes the events; yields nothing, since nothing is to be printed here. */
export default async function* sendEvents(
  source: AsyncIterable<TestEvent>,
): AsyncGenerator<string, void> {
  for await (const event of source) {
    const line = toLine(event);
    if (line !== undefined) writeSync(EVENTS_FD, `${JSON.stringify(line)}\n`);
  }
  yield '';
}
