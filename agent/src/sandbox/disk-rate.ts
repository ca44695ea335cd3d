/**
 * What a machine may ask of the host's disks, over all of its own together. Its monitor holds it to
 * that, on any host; the monitor's control group has it too where the host's kernel can, and by weight
 * where its scheduler of disks goes by weights.
 */
export type DiskRate = { bytesPerSecond: number; operationsPerSecond: number };

/** More than a job needs for long, and less than a fast disk has. */
export const DISK_RATE: DiskRate = {
  bytesPerSecond: 1024 * 1024 * 1024,
  operationsPerSecond: 50_000,
};
