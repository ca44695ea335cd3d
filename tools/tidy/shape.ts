/**
 * The shape of files and names: short files and functions, a comment at the top that says what a
 * module is for, names that say something, no syntax that Node refuses, no promise without a reason.
 */

import type { Violation } from './rule.ts';
import type { SourceFile } from './source-file.ts';

/** A file one can hold in mind, and a function one sees on one screen. */
export const FILE_LINES = 500;
export const FUNCTION_LINES = 70;
/** Shorter than this, an opening comment repeats the file's name. */
const OPENING_COMMENT_CHARS = 20;

const KEBAB_CASE = /^_?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/;
const EMPTY_NAMES = /^_?(utils?|helpers?|commons?|libs?|misc|shared|stuff)$/;
const EMPTY_FILES = /^(types|interfaces)\.ts$/;

/** Names of a file and of the folders it is in. Takes a path, since not only source has a name. */
export function checkNames(file: string): Violation[] {
  if (file.split('/').includes('gen')) return [];
  const parts = file.split('/').slice(1);
  const base = parts.at(-1) ?? '';
  const found: { subject: string; message: string }[] = [];
  for (const part of parts) {
    if (!KEBAB_CASE.test(part)) {
      found.push({ subject: part, message: `"${part}" is not kebab-case` });
    }
    if (EMPTY_NAMES.test(part.split('.')[0] ?? '')) {
      found.push({
        subject: part,
        message: `"${part}" says nothing: name the thing, not the drawer`,
      });
    }
  }
  if (EMPTY_FILES.test(base)) {
    found.push({ subject: base, message: `"${base}": a type lives with what it describes` });
  }
  return found.map((one) => ({ rule: 'names', file, line: 1, ...one }));
}

export function checkLength(file: string, lineCount: number): Violation[] {
  if (lineCount <= FILE_LINES || file.split('/').includes('gen')) return [];
  const message = `${lineCount} lines; ${FILE_LINES} is the limit: find the second subject in it`;
  return [{ rule: 'file-length', file, line: FILE_LINES, subject: file, message }];
}

export function checkFunctions(file: SourceFile): Violation[] {
  if (file.isGenerated) return [];
  return file.functions
    .filter(({ lineCount, isSuiteBody }) => lineCount > FUNCTION_LINES && !isSuiteBody)
    .map(({ name, line, lineCount }) => ({
      rule: 'function-length',
      file: file.path,
      line,
      subject: name,
      message: `${name} has ${lineCount} lines; ${FUNCTION_LINES} is the limit`,
    }));
}

/** Tests speak by their names; everything else opens with what it is for. */
export function checkOpeningComment(file: SourceFile): Violation[] {
  if (file.isGenerated || /\.test\.\w+$/.test(file.path)) return [];
  const text = (file.openingComment ?? '').replaceAll(/[\s*/]+/g, ' ').trim();
  if (text.length >= OPENING_COMMENT_CHARS) return [];
  return [
    {
      rule: 'opening-comment',
      file: file.path,
      line: 1,
      subject: file.path,
      message: 'a module opens with a comment that says what it is for and what it promises',
    },
  ];
}

export function checkDecorators(file: SourceFile): Violation[] {
  return file.decoratorLines.map((line) => ({
    rule: 'decorators',
    file: file.path,
    line,
    subject: 'decorator',
    message: 'decorators pass the type checker but Node refuses them',
  }));
}

const LEFTOVER = /\b(TODO|FIXME|XXX|HACK)\b(?<rest>.*)/;
/** `TODO(what it waits for): what is to be done` */
const REASONED = /^\([^)]{2,}\):? \S+/;

export function checkLeftovers(file: SourceFile): Violation[] {
  return file.comments.flatMap((comment) =>
    comment.text.split('\n').flatMap((text, index) => {
      const match = LEFTOVER.exec(text);
      if (match === null || REASONED.test(match.groups?.['rest'] ?? '')) return [];
      const word = match[1] ?? '';
      const message = `${word} without a reason; write ${word}(what it waits for): what is to be done`;
      const line = comment.line + index;
      return [{ rule: 'leftovers', file: file.path, line, subject: word, message }];
    }),
  );
}

/** `entryPoints`: the files that package.json exports. */
export function checkBarrel(file: SourceFile, entryPoints: ReadonlySet<string>): Violation[] {
  if (!file.isBarrel || file.isGenerated || entryPoints.has(file.path)) return [];
  const message =
    "only re-exports; nothing but a zone's exports may: import from the module itself";
  return [{ rule: 'barrels', file: file.path, line: 1, subject: file.path, message }];
}
