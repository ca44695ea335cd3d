/** Reads one small file of a commit by git, however git is run. */
import type { ToolResult } from '../host/short-tool.ts';
import { WORKFLOW_TEXT_BYTES } from '../limits.ts';

/** `text` is null where the file is too large to be read. */
export type FileText = { bytes: number; text: string | null };

/**
 * @param git runs it with these arguments, to its end
 * @param name `<commit>:<path>`
 * @returns undefined: there is no such file
 */
export async function readText(
  git: (args: readonly string[]) => Promise<ToolResult>,
  name: string,
): Promise<FileText | undefined> {
  const size = await git(['cat-file', '-s', name]);
  const bytes = Number(size.standardOutput.trim());
  if (size.exitCode !== 0 || !Number.isSafeInteger(bytes)) return undefined;
  if (bytes > WORKFLOW_TEXT_BYTES) return { bytes, text: null };
  // Of a directory, which has a size too, git says nothing.
  const file = await git(['cat-file', 'blob', name]);
  return file.exitCode === 0 ? { bytes, text: file.standardOutput } : undefined;
}
