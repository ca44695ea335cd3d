/** How much memory this host has left, as its kernel tells (proc(5): meminfo; pressure/memory). */
import { readFile } from 'node:fs/promises';

/** Below these parts of all memory machines that wait for jobs are too many. */
const ENOUGH = 0.15;
const TOO_LITTLE = 0.05;
/** Percent of the last ten seconds in which somebody waited for memory. */
const PRESSURE = 20;

export type MemoryRoom = 'enough' | 'no more' | 'too little';

/** Whether `bytes` more can be used, and whether what can be given back should be. */
export async function memoryRoom(bytes: number): Promise<MemoryRoom> {
  const [meminfo, pressure] = await Promise.all([read('meminfo'), read('pressure/memory')]);
  return judgeMemory(bytes, { meminfo, pressure });
}

/** Not every kernel has every file. */
const read = async (name: string): Promise<string> =>
  await readFile(`/proc/${name}`, 'utf8').catch(() => '');

/** Pure. What is not told is taken for enough. */
export function judgeMemory(
  bytes: number,
  { meminfo, pressure }: { meminfo: string; pressure: string },
): MemoryRoom {
  const bytesOf = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? Number.NaN) * 1024;
  const total = bytesOf('MemTotal');
  const available = bytesOf('MemAvailable');
  const waited = Number(/^some avg10=([\d.]+)/m.exec(pressure)?.[1] ?? 0);
  if (available < TOO_LITTLE * total || waited > PRESSURE) return 'too little';
  return available - bytes < ENOUGH * total ? 'no more' : 'enough';
}
