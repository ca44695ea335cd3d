/**
 * The text of a file to a YAML document, bounded: a file that would cost seconds and hundreds of
 * megabytes is refused by the count of its tokens.
 */
import { type Document, Lexer, parseDocument } from 'yaml';
import { PARSE_TOKENS } from '../limits.ts';
import type { Problems } from './problems.ts';

export const withoutByteOrderMark = (text: string): string =>
  text.startsWith('\uFEFF') ? text.slice(1) : text;

/** The YAML parser recurses; where its stack ends it says so in one of these ways. */
const STACK = /call stack|stack overflow/i;

function yamlSentence(message: string, line: number): string {
  if (STACK.test(message)) return 'Maximum object depth exceeded';
  const what = message.replace(/\s+/g, ' ').replace(/; please use YAML\..*$/, '');
  return `You have an error in your yaml syntax on line ${line}: ${what}`;
}

/** Tokens cost little to count; the document they make costs seconds and hundreds of megabytes. */
function hasTooManyTokens(text: string): boolean {
  let count = 0;
  for (const _ of new Lexer().lex(text)) if (++count > PARSE_TOKENS) return true;
  return false;
}

/** The document, or null where it is none: then the problems say why. */
export function readYaml(problems: Problems, emptyMessage: string): Document | null {
  const { text, lines } = problems;
  if (hasTooManyTokens(text)) {
    const message = `Maximum number of YAML tokens exceeded (${PARSE_TOKENS})`;
    problems.add({ line: 1, column: 1 }, message);
    return null;
  }
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'silent',
    });
    for (const error of document.errors) {
      const at = problems.atOffset(error.pos[0]);
      problems.add(at, yamlSentence(error.message, at.line));
    }
    if (document.contents === null && !problems.any) {
      problems.add({ line: 1, column: 1 }, emptyMessage);
    }
    return problems.any ? null : document;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    problems.add({ line: 1, column: 1 }, yamlSentence(message, 1));
    return null;
  }
}
