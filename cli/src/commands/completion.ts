/** `onejob completion`, and the hidden `onejob complete` that its scripts ask. */
import type { Command } from 'commander';
import { complete } from '../completion/candidates.ts';
import { completionScript, type Shell } from '../completion/scripts.ts';
import { lookUp } from '../completion/values.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { safeText } from '../show/style.ts';

export function printCompletion(shell: Shell): ExitCode {
  const main = process.argv[1] ?? '';
  process.stdout.write(completionScript(shell, [process.execPath, main]));
  return EXIT.success;
}

/** @param words after `onejob`; the last one is being typed */
export async function printCandidates(
  program: Command,
  words: readonly string[],
): Promise<ExitCode> {
  const { candidates, kind, prefix } = complete(program, words);
  const found = await lookUp(kind, typedDataDirectory(words));
  const typed = words.at(-1) ?? '';
  const looked = found
    .map((one) => ({ ...one, value: prefix + one.value }))
    .filter(({ value }) => value.startsWith(typed) && !/[\s\p{Cc}]/u.test(value));
  const areFiles = kind === 'files' || kind === 'workflows';
  const lines = [...candidates, ...looked].map(
    ({ value, description }) => `${value}\t${oneLine(description)}`,
  );
  process.stdout.write(`${[areFiles ? 'files' : 'none', ...lines].join('\n')}\n`);
  return EXIT.success;
}

const oneLine = (text: string): string => safeText(text, false).replaceAll(/\s+/g, ' ');

function typedDataDirectory(words: readonly string[]): string | undefined {
  const at = words.indexOf('--data-dir');
  const word = words.find((one) => one.startsWith('--data-dir='));
  return at >= 0 ? words[at + 1] : word?.slice('--data-dir='.length);
}
