/**
 * The workflow files of one request, and the actions of its commit: each is read from its commit and parsed once, whoever asks for
 * it, and all of them together within one limit of time.
 */
import { oversizeProblem } from '@onejob/workflow';
import type { ParseResult } from '@onejob/workflow/parse';
import type { ActionParseResult } from '@onejob/workflow/parse-action';
import type { Repositories, RepositoryId } from '../git/repositories.ts';
import { WORKFLOWS_PARSE_MS } from '../limits.ts';
import type { ElsewhereRepositories, ElsewhereRepository } from './elsewhere.ts';
import type { WorkflowParser } from './workflow-parser.ts';

/** What workflows are read with. */
export type WorkflowSource = {
  repositories: Repositories;
  parser: WorkflowParser;
  /** undefined: only this platform has any. */
  elsewhere?: ElsewhereRepositories | undefined;
  /** One person's platform: a pull request from elsewhere may read what is here. */
  isPersonal: boolean;
  /** Ends what is asked of others. */
  stopping: AbortSignal;
};

type FileSource = Pick<WorkflowSource, 'repositories' | 'parser' | 'stopping'>;

/** How a file is read that is in no repository of this platform. */
type ReadElsewhere = ElsewhereRepository['read'];

export type FilePlace = { repository: RepositoryId; sha: string; path: string };

export class WorkflowFiles {
  readonly #source: FileSource;
  readonly #read = new Map<string, ParseResult | undefined>();
  #tookMs = 0;

  constructor(source: FileSource) {
    this.#source = source;
  }

  get isOverTime(): boolean {
    return this.#tookMs > WORKFLOWS_PARSE_MS;
  }

  /**
   * @param file what the file is called in messages
   * @param elsewhere where its repository is not on this platform
   * @returns undefined: the commit has no such file
   */
  async read(
    at: FilePlace,
    file: string,
    elsewhere?: ReadElsewhere,
  ): Promise<ParseResult | undefined> {
    const { tenant, name } = at.repository;
    const key = `${tenant}/${name}/${at.path.replace(/^\.\//, '')}@${at.sha}`;
    const known = this.#read.get(key);
    if (known !== undefined) return known;
    const result = this.isOverTime ? overTime(file) : await this.#parse(at, file, elsewhere);
    this.#read.set(key, result);
    return result;
  }

  /** Of an action; undefined: the commit has no such file, or there is no time left to read it. */
  async readAction(at: FilePlace, file: string): Promise<ActionParseResult | undefined> {
    if (this.isOverTime) return undefined;
    const { repositories, parser } = this.#source;
    const found = await repositories.readWorkflow(at.repository, at.sha, at.path);
    if (found?.text === null || found === undefined) return undefined;
    const { result, tookMs } = await parser.parseAction({ file, text: found.text });
    this.#tookMs += tookMs;
    return result;
  }

  async exists({ repository, sha, path }: FilePlace): Promise<boolean> {
    const found = await this.#source.repositories.readWorkflow(repository, sha, path);
    return found !== undefined;
  }

  async #parse(
    at: FilePlace,
    file: string,
    elsewhere?: ReadElsewhere,
  ): Promise<ParseResult | undefined> {
    const { repositories, parser } = this.#source;
    const found =
      elsewhere === undefined
        ? await repositories.readWorkflow(at.repository, at.sha, at.path)
        : await elsewhere(at.path);
    if (found === undefined) return undefined;
    if (found.text === null) return { ok: false, problems: [oversizeProblem(file)] };
    const { result, tookMs } = await parser.parse({ file, text: found.text });
    this.#tookMs += tookMs;
    return this.isOverTime && result.ok ? overTime(file) : result;
  }
}

function overTime(file: string): ParseResult {
  const message = `The workflows up to this one take longer than ${WORKFLOWS_PARSE_MS / 1000} s to read, which is the limit. Run fewer of them at a time`;
  return { ok: false, problems: [{ file, line: 1, column: 1, message }] };
}
