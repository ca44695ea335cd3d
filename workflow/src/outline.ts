/**
 * The names in a workflow file, read in milliseconds and without any check: for completion, where a
 * file may be half written. What cannot be read has no names.
 */
import { WORKFLOW_FILE_CHARACTERS } from '@onejob/protocol/limits';
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';

export type Outline = {
  events: string[];
  jobs: string[];
  /** `key:value` of the matrix values that are written out. */
  legs: string[];
};

export function outlineOf(text: string): Outline {
  if (text.length > WORKFLOW_FILE_CHARACTERS) return { events: [], jobs: [], legs: [] };
  const root = readRoot(text);
  const jobs = entriesOf(valueOf(root, 'jobs'));
  const matrices = jobs.map(([, job]) => valueOf(valueOf(job, 'strategy'), 'matrix'));
  return {
    events: namesOf(valueOf(root, 'on')),
    jobs: jobs.map(([key]) => key),
    legs: [...new Set(matrices.flatMap(legsOf))],
  };
}

function readRoot(text: string): unknown {
  try {
    return parseDocument(text, { uniqueKeys: false, logLevel: 'silent' }).contents;
  } catch {
    // The parser recurses: a file that nests deeper than its stack has no names.
    return undefined;
  }
}

/** As written: `22`, `true`. Nothing where nothing is. */
const scalarText = (node: unknown): string[] =>
  isScalar(node) && node.source !== undefined && node.source !== '' ? [node.source] : [];

function entriesOf(node: unknown): [string, unknown][] {
  if (!isMap(node)) return [];
  return node.items.flatMap(({ key, value }) =>
    scalarText(key).map((name): [string, unknown] => [name, value]),
  );
}

const valueOf = (node: unknown, name: string): unknown =>
  entriesOf(node).find(([key]) => key === name)?.[1];

/** `push`, `[push, release]` or a mapping. */
function namesOf(node: unknown): string[] {
  if (isSeq(node)) return node.items.flatMap(scalarText);
  return isMap(node) ? entriesOf(node).map(([name]) => name) : scalarText(node);
}

function legsOf(matrix: unknown): string[] {
  return entriesOf(matrix)
    .filter(([key]) => key !== 'include' && key !== 'exclude')
    .flatMap(([key, values]) =>
      isSeq(values) ? values.items.flatMap(scalarText).map((value) => `${key}:${value}`) : [],
    );
}
