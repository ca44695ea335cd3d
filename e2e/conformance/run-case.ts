/** Has onejob do what a conformance case says, over its public API, and tells what became of it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CreateRun, Rerun, Run } from '@onejob/protocol';
import { type Constellation, NOTHING_KEPT } from '@onejob/testing';
import { type CasePlace, REPOSITORY } from './case-commits.ts';
import type { ConformanceCase } from './case-file.ts';
import type { CaseRun } from './case-runs.ts';
import { type Happening, isMapping, isPlan, type Ran, type Said } from './expectation.ts';

export type Driver = 'process' | 'qemu';

/** A run that goes on. */
type Begun = { place: number; began: Run };

/** A refusal of the API, as far as it is about the workflow. */
function problemsOf(error: unknown): string[] {
  const problems = (error as { problems?: { line: number; column: number; message: string }[] })
    .problems;
  if (!(error instanceof Error) || problems === undefined || problems.length === 0) throw error;
  return problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

async function readSaid({ api }: Constellation, { jobs, attempt }: Run): Promise<Ran['said']> {
  const said: Record<string, Said> = {};
  for (const { id, name, attempt: own } of jobs) {
    // What an earlier attempt wrote was read then.
    if (own !== attempt) continue;
    const { rows } = await api.log(id, 0);
    const summary = (await api.summaries(id)).map(({ markdown }) => markdown).join('');
    said[name] = { rows, summary };
    for (;;) {
      const page = rows.length === 0 ? [] : (await api.log(id, rows.length)).rows;
      if (page.length === 0) break;
      rows.push(...page);
    }
  }
  return said;
}

/** The payload, with the commits that the case's changes are between. */
function payloadOf(
  { name, payload }: CaseRun['event'],
  { sha, before }: CasePlace,
): Record<string, unknown> {
  if (before === '') return payload;
  if (name === 'push') return { before, ...payload };
  const pull = isMapping(payload['pull_request']) ? payload['pull_request'] : {};
  const base = isMapping(pull['base']) ? pull['base'] : {};
  const head = isMapping(pull['head']) ? pull['head'] : {};
  const between = { base: { ...base, sha: before }, head: { ...head, sha } };
  return { ...payload, pull_request: { ...pull, ...between } };
}

class CaseRuns {
  readonly #constellation: Constellation;
  readonly #place: CasePlace;
  readonly #driver: Driver;
  readonly #several: boolean;
  readonly #happened: Happening[] = [];
  #begun: Begun[] = [];
  #last: Run | undefined;
  /** By the place of what began them; of a re-run the run it is an attempt of. */
  readonly #runs = new Map<number, Run>();

  constructor(
    { runs }: Pick<ConformanceCase, 'runs'>,
    constellation: Constellation,
    place: CasePlace,
    driver: Driver,
  ) {
    this.#several = runs.length > 1;
    this.#constellation = constellation;
    this.#place = place;
    this.#driver = driver;
  }

  get happened(): readonly Happening[] {
    return this.#happened;
  }

  async begin(one: CaseRun): Promise<void> {
    if (one.meanwhile === false) await this.end();
    if (one.meanwhile === 'running') await this.#untilRunning();
    const place = this.#happened.length;
    const happened = await this.#begin(one).catch((error: unknown) => ({
      kind: 'refused' as const,
      problems: problemsOf(error),
    }));
    if (happened.kind !== 'ran') {
      this.#happened.push(happened);
      return;
    }
    // What it became is put here at its end.
    this.#happened.push(happened);
    this.#begun.push({ place, began: happened.began });
    this.#last = happened.run;
    this.#runs.set(place, happened.run);
  }

  /** Waits until all that has begun has ended. */
  async end(): Promise<void> {
    const { api } = this.#constellation;
    const going = this.#begun;
    this.#begun = [];
    if (going.length > 0 && this.#several) writeFileSync(this.#gate, '');
    for (const { place, began } of going) {
      for await (const _ of api.events(began.id, new AbortController().signal)) {
        // The stream ends with the run.
      }
      const run = await api.run(began.id);
      const earlier = this.#happened
        .slice(0, place)
        .flatMap((one) => (one.kind === 'ran' ? [one.run] : []));
      const said = await readSaid(this.#constellation, run);
      this.#happened[place] = { kind: 'ran', run, said, began, earlier };
    }
  }

  async #untilRunning(): Promise<void> {
    const last = this.#last;
    assert.ok(last !== undefined, 'nothing goes on meanwhile');
    const stop = new AbortController();
    for await (const event of this.#constellation.api.events(last.id, stop.signal)) {
      if (event.type === 'job' && event.job.state === 'running') break;
    }
    stop.abort();
  }

  get #gate(): string {
    return join(this.#constellation.directory, this.#place.file.replaceAll('/', '-'));
  }

  async #begin(one: CaseRun): Promise<Happening> {
    const { api } = this.#constellation;
    if (one.rerun !== null) return ran(await this.#rerun(one, one.rerun));
    const request = this.#request(one);
    const { expect } = one;
    if (isPlan(expect)) return { kind: 'planned', plan: await api.plan(request) };
    if (expect.refs !== undefined) {
      const refs: Record<string, boolean> = {};
      for (const ref of Object.keys(expect.refs)) {
        const { workflows } = await api.plan({ ...request, ref });
        refs[ref] = workflows[0]?.triggered ?? false;
      }
      return { kind: 'pushed', refs };
    }
    const { runs, notTriggered } = await api.createRuns(request);
    const [started] = runs;
    assert.ok(started !== undefined, notTriggered[0]?.why);
    return ran(started);
  }

  async #rerun({ actor, secrets }: CaseRun, asked: NonNullable<CaseRun['rerun']>): Promise<Run> {
    const { of, ...rest } = asked;
    const run = this.#runs.get(of - 1);
    assert.ok(run !== undefined, 'nothing ran that could be run again');
    const body: Rerun = { ...rest, actor, secrets };
    return await this.#constellation.api.rerun(run.id, body);
  }

  #request({ event, inputs, secrets, vars, file, actor, before }: CaseRun): CreateRun {
    const { file: own } = this.#place;
    const sha = before ? this.#place.before : this.#place.sha;
    return {
      ...{ repository: REPOSITORY, sha, ref: event.ref, workflows: [file === '' ? own : file] },
      event: { name: event.name, payload: payloadOf(event, this.#place) },
      ...{ actor, secrets, vars, inputs },
      env: this.#several ? { ...NOTHING_KEPT, CASE_GATE: this.#gate } : NOTHING_KEPT,
      ...{ jobs: [], matrix: {}, driver: this.#driver, keepSandbox: false },
    };
  }
}

const ran = (run: Run): Ran => ({ kind: 'ran', run, began: run, said: {}, earlier: [] });

/** What became of each of its runs, in their order. */
export async function runCase(
  constellation: Constellation,
  one: Pick<ConformanceCase, 'runs'>,
  place: CasePlace,
  driver: Driver,
): Promise<readonly Happening[]> {
  const runs = new CaseRuns(one, constellation, place, driver);
  for (const run of one.runs) await runs.begin(run);
  await runs.end();
  return runs.happened;
}
