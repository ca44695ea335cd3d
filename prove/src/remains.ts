/** Looks on the host for what is of a sandbox, without asking the agent. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Remains } from './attack.ts';
import { tryScript } from './scene/tools.ts';

export type Search = {
  /** Of the platform. */
  dataDirectory: string;
  sandboxId: string;
  /** What the job wrote to its disk. */
  content: string;
};

/** What is found of one kind; nothing: an empty text. */
export async function findRemains(kind: Remains, search: Search): Promise<string> {
  const { dataDirectory, sandboxId, content } = search;
  const agent = join(dataDirectory, 'agent');
  switch (kind) {
    case 'process':
      return ofProcesses(sandboxId);
    case 'descriptor':
      return ofDescriptors(sandboxId);
    case 'socket':
      return linesWith('/proc/net/unix', sandboxId);
    case 'directory':
      return named(join(agent, 'sandboxes'), sandboxId);
    case 'journal':
      return named(join(agent, 'journals'), sandboxId);
    case 'content':
      return await withContent(agent, content);
  }
}

const pids = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // gone meanwhile, or another user's
  }
}

function ofProcesses(sandboxId: string): string {
  const found = pids().filter((pid) =>
    ['environ', 'cmdline'].some((file) => read(`/proc/${pid}/${file}`).includes(sandboxId)),
  );
  return found.map((pid) => `process ${pid} ${read(`/proc/${pid}/comm`).trim()}`).join(', ');
}

function ofDescriptors(sandboxId: string): string {
  const found = pids().flatMap((pid) => {
    const directory = `/proc/${pid}/fd`;
    try {
      return readdirSync(directory).map((fd) => readlinkSync(join(directory, fd)));
    } catch {
      return [];
    }
  });
  return found.filter((path) => path.includes(sandboxId)).join(', ');
}

const linesWith = (path: string, word: string): string =>
  read(path)
    .split('\n')
    .filter((line) => line.includes(word))
    .map((line) => line.split(' ').at(-1))
    .join(', ');

function named(directory: string, sandboxId: string): string {
  try {
    return readdirSync(directory)
      .filter((name) => name.includes(sandboxId))
      .map((name) => join(directory, name))
      .join(', ');
  } catch {
    return '';
  }
}

/** Disks are sparse: tar reads what is there, and not the holes. */
async function withContent(directory: string, content: string): Promise<string> {
  const count = await tryScript(
    `tar --sparse --hole-detection=seek --ignore-failed-read -C '${directory}' -cf - . 2>/dev/null | grep -a -c -F '${content}' || true`,
  );
  return Number(count) > 0 ? `the text ${content} below ${directory}` : '';
}
