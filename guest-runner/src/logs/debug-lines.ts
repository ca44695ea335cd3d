/** A message of debug logging as rows, as GitHub's runner writes it: each line with its mark. */
export const debugLines = (message: string): string[] =>
  message.split(/\r?\n/).map((line) => `##[debug]${line}`);
