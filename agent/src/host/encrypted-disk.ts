/**
 * A sandbox's disk as QEMU's copy-on-write format (qcow2, version 3, docs/interop/qcow2.rst of
 * QEMU): empty over a blank that all sandboxes share, and encrypted with a key of its own. What was
 * not written yet is read from the blank; what is written is encrypted in the clusters of this file,
 * which hold room for the size it was made with and no more. Making one takes the same few
 * milliseconds for any size.
 *
 * Once the passphrase is forgotten, what the file held is noise: also where the host's file system
 * keeps it after the file is gone.
 *
 *     cluster 0: header | 1: refcount table | 2: refcounts | 3...: L1 table | LUKS header | data
 */
import { open } from 'node:fs/promises';
import { LUKS_HEADER_BYTES, luksHeader } from './luks-header.ts';

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const HEADER_BYTES = 104;
const MAGIC = 0x514649fb;
const VERSION = 3;
const ENCRYPTED_BY_LUKS = 2;
/** Refcounts of 2^4 bits. */
const REFCOUNT_ORDER = 4;
/** The header extension that says where the LUKS header is. */
const ENCRYPTION_EXTENSION = 0x0537be77;
/** What one entry of the L1 table leads to: a cluster of entries of 8 bytes, a cluster each. */
const BYTES_PER_L1_ENTRY = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;

const REFCOUNT_TABLE = 1;
const REFCOUNTS = 2;
const L1_TABLE = 3;

/** Tables may begin anew at any end, and QEMU cuts nothing off. */
const ROUNDING_CLUSTERS = 16;

const clustersFor = (bytes: number): number => Math.ceil(bytes / CLUSTER_BYTES);

/**
 * What the file has at most when all of it was written: for each cluster 8 bytes of an L2 table and 2 of
 * a refcount, in whole clusters each, and what it has from the start.
 */
export function largestFileBytes(sizeBytes: number): number {
  const data = clustersFor(sizeBytes);
  const tables = clustersFor(data * 8) + 2 * clustersFor(data * 2);
  const first = L1_TABLE + clustersFor(Math.ceil(sizeBytes / BYTES_PER_L1_ENTRY) * 8);
  return (data + tables + first + ROUNDING_CLUSTERS) * CLUSTER_BYTES + LUKS_HEADER_BYTES;
}

/** @param sizeBytes of the blank, a multiple of 512 */
export async function createEncryptedDisk(
  path: string,
  sizeBytes: number,
  passphrase: string,
): Promise<void> {
  const l1Entries = Math.ceil(sizeBytes / BYTES_PER_L1_ENTRY);
  const luksCluster = L1_TABLE + clustersFor(l1Entries * 8);
  const clusters = luksCluster + clustersFor(LUKS_HEADER_BYTES);
  const tables = Buffer.alloc(L1_TABLE * CLUSTER_BYTES);
  tables.writeUInt32BE(MAGIC, 0);
  tables.writeUInt32BE(VERSION, 4);
  tables.writeUInt32BE(CLUSTER_BITS, 20);
  tables.writeBigUInt64BE(BigInt(sizeBytes), 24);
  tables.writeUInt32BE(ENCRYPTED_BY_LUKS, 32);
  tables.writeUInt32BE(l1Entries, 36);
  tables.writeBigUInt64BE(BigInt(L1_TABLE * CLUSTER_BYTES), 40);
  tables.writeBigUInt64BE(BigInt(REFCOUNT_TABLE * CLUSTER_BYTES), 48);
  tables.writeUInt32BE(1, 56);
  tables.writeUInt32BE(REFCOUNT_ORDER, 96);
  tables.writeUInt32BE(HEADER_BYTES, 100);
  tables.writeUInt32BE(ENCRYPTION_EXTENSION, HEADER_BYTES);
  tables.writeUInt32BE(16, HEADER_BYTES + 4);
  tables.writeBigUInt64BE(BigInt(luksCluster * CLUSTER_BYTES), HEADER_BYTES + 8);
  tables.writeBigUInt64BE(BigInt(LUKS_HEADER_BYTES), HEADER_BYTES + 16);
  tables.writeBigUInt64BE(BigInt(REFCOUNTS * CLUSTER_BYTES), REFCOUNT_TABLE * CLUSTER_BYTES);
  for (let cluster = 0; cluster < clusters; cluster++) {
    tables.writeUInt16BE(1, REFCOUNTS * CLUSTER_BYTES + cluster * 2);
  }
  await using file = await open(path, 'wx', 0o600);
  await file.write(tables, 0, tables.length, 0);
  const header = luksHeader(passphrase);
  await file.write(header, 0, header.length, luksCluster * CLUSTER_BYTES);
  await file.truncate(clusters * CLUSTER_BYTES);
}
