/**
 * The rule about SECURITY.md: every claim names at least one test, and that test exists. A claim is
 * an item of a list under `## Claims`; a test is named on a line of its own: `file` › its name.
 */

import type { TextFile } from './repository.ts';
import type { Violation } from './rule.ts';

const NAMED_TEST = /^\s*`([^`]+)` › (.+?)\s*$/;

export function checkClaims(document: TextFile, tests: readonly TextFile[]): Violation[] {
  const violation = (claim: string, message: string): Violation => {
    const line = document.text.slice(0, document.text.indexOf(claim)).split('\n').length;
    return { rule: 'claims', file: document.path, line, subject: claim, message };
  };
  const section = document.text.split(/^## /m).find((part) => part.startsWith('Claims\n')) ?? '';
  const claims = section.split(/^- /m).slice(1);
  if (claims.length === 0) return [violation('', 'There are no claims under "## Claims".')];
  return claims.flatMap((claim) => {
    const [title = '', ...lines] = claim.split('\n');
    const named = lines.flatMap((line) => {
      const [, file, name] = NAMED_TEST.exec(line) ?? [];
      return file === undefined || name === undefined ? [] : [{ file, name }];
    });
    if (named.length === 0) {
      return [
        violation(title, 'A claim without a test is not made: name the test that proves it.'),
      ];
    }
    return named
      .filter(
        ({ file, name }) => !tests.some((one) => one.path === file && one.text.includes(name)),
      )
      .map(({ file, name }) => violation(title, `There is no test "${name}" in ${file}.`));
  });
}
