/** What a call of the results endpoint gets and gives, whatever carries it. */
import type { Readable } from 'node:stream';
import Type from 'typebox';
import type { JobResults } from './job-results.ts';
import { ResultsRefused } from './refused.ts';

export type Call = {
  results: JobResults;
  method: string;
  url: URL;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Not read yet. */
  stream: Readable;
};

export type Answer = {
  status: number;
  headers?: Record<string, string>;
  json?: unknown;
  content?: Readable;
};

/** 64-bit numbers are texts in protobuf's JSON; GitHub's clients send either. */
export const Int64 = Type.Union([
  Type.String({ pattern: String.raw`^\d{1,16}$` }),
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
]);

/** A compiled schema. */
type Schema<T> = {
  Check(value: unknown): value is T;
  Errors(value: unknown): { instancePath: string; message: string }[];
};

/** @throws ResultsRefused `malformed` with where and why */
export function parseCall<T>(schema: Schema<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ResultsRefused('malformed', 'The request is not JSON.');
  }
  if (schema.Check(value)) return value;
  const [error] = schema.Errors(value);
  const where = error?.instancePath === '' ? 'The request' : (error?.instancePath ?? '');
  throw new ResultsRefused('malformed', `${where} ${error?.message ?? 'does not fit'}.`);
}
