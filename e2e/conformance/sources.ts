/**
 * What the `source` of a conformance case may name: pages of GitHub's documentation with their sections, and
 * files of its runner, of the runner's libraries and actions (`sources.yml`).
 *
 *     https://docs.github.com/en/actions/.../workflow-syntax#onschedule         page and section
 *     https://github.com/actions/runner/blob/main/src/A.cs (Part)               file of a repository
 *     A_Test in src/Test/L0/Worker/SomeL0.cs                                    of the runner, or
 *     some.yml in actions/languageservices workflow-parser/testdata/reader/some.yml
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

type Pages = Record<string, { title: string; sections?: string[] }>;
export type Sources = {
  /** Below `https://docs.github.com/en/`. */
  readonly pages: Pages;
  /** By repository: folder to the files that are named in it. */
  readonly files: Record<string, Record<string, string[]>>;
};

export const SOURCES = parse(
  readFileSync(join(import.meta.dirname, 'sources.yml'), 'utf8'),
) as Sources;

const DOCUMENTATION = 'https://docs.github.com/en/';
const FILE =
  /^https:\/\/github\.com\/([\w-]+\/[\w-]+)\/blob\/main\/([^\s#]+)(?:#\S+)?(?: \(.+\))?$/;
const PART = /^.+ in (?:(actions\/[\w-]+) )?([\w./-]+)$/;

function whyNoPage(address: string, pages: Pages): string {
  const [path = '', section] = address.slice(DOCUMENTATION.length).split('#');
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined) return `the page ${path} is not in sources.yml`;
  if (section === undefined || page.sections?.includes(section) === true) return '';
  return `sources.yml has no section '${section}' of the page "${page.title}"`;
}

function whyNoFile(repository: string, path: string, { files }: Sources): string {
  const [, folder = '.', name = ''] = /^(?:(.+)\/)?([^/]+)$/.exec(path) ?? [];
  const known = Object.hasOwn(files, repository) ? files[repository]?.[folder] : undefined;
  return known?.includes(name) === true ? '' : `${repository} ${path} is not in sources.yml`;
}

/** Why a source names nothing that is known; '': it does. */
export function whyNoSource(source: string, sources: Sources = SOURCES): string {
  if (source.startsWith(DOCUMENTATION)) return whyNoPage(source, sources.pages);
  const [, repository, path = ''] = FILE.exec(source) ?? [];
  if (repository !== undefined) return whyNoFile(repository, path, sources);
  const [, ofLibrary = 'actions/runner', file] = PART.exec(source) ?? [];
  if (file !== undefined) return whyNoFile(ofLibrary, file, sources);
  return `it names neither a page of the documentation nor a test: ${source}`;
}
