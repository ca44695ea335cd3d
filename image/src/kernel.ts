/**
 * Takes Debian's kernel package apart: the uncompressed ELF kernel, which QEMU and Firecracker start
 * directly by its PVH note (200 ms earlier than the packed one under emulation), the modules on the way
 * to the root disk, in loading order, and those that a job's programs may ask for.
 */
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ImageError } from './errors.ts';
import { BOOT_MODULES, JOB_MODULES, NETWORK_MODULES } from './recipe.ts';
import type { RunTool } from './tool.ts';

/** Offsets of the boot protocol header (Documentation/arch/x86/boot.rst). */
const SETUP_SECTORS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR_BYTES = 512;
const LZ4_LEGACY_MAGIC = 0x184c2102;
const ELF_MAGIC = 0x7f454c46;

/**
 * Lists of module files, in loading order, by the name of the file that init reads. One may have what
 * another has: what is loaded already is not loaded again.
 */
export const MODULE_LISTS: Readonly<Record<'order' | 'order-network', readonly string[]>> = {
  order: BOOT_MODULES,
  'order-network': NETWORK_MODULES,
};

/** The compressed kernel inside a bzImage, as `lz4 -dc` takes it. */
export function lz4PayloadOf(vmlinuz: Buffer): Buffer {
  const isBzImage =
    vmlinuz.length > PAYLOAD_LENGTH + 4 &&
    vmlinuz.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) === 'HdrS';
  if (!isBzImage) throw kernelProblem('the kernel is not a bzImage');
  const start =
    ((vmlinuz[SETUP_SECTORS] ?? 0) + 1) * SECTOR_BYTES + vmlinuz.readUInt32LE(PAYLOAD_OFFSET);
  const length = vmlinuz.readUInt32LE(PAYLOAD_LENGTH);
  // the last four bytes are the unpacked size, added by the kernel's build
  const payload = vmlinuz.subarray(start, start + length - 4);
  if (payload.length !== length - 4 || payload.readUInt32LE(0) !== LZ4_LEGACY_MAGIC) {
    throw kernelProblem('the kernel is not packed with LZ4');
  }
  return payload;
}

/**
 * Extracts `deb` into `workDirectory`, writes `vmlinux` and `modules/` into `target`, and what belongs
 * into the guest's /usr/lib/modules into `jobModules`.
 */
export async function extractKernel(
  run: RunTool,
  paths: { deb: string; workDirectory: string; target: string; jobModules: string },
): Promise<{ kernelVersion: string }> {
  const step = 'kernel';
  await run({ step, command: ['dpkg-deb', '-x', paths.deb, paths.workDirectory] });
  const boot = join(paths.workDirectory, 'boot');
  const vmlinuzName = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (vmlinuzName === undefined) throw kernelProblem(`no /boot/vmlinuz in ${basename(paths.deb)}`);
  const kernelVersion = vmlinuzName.slice('vmlinuz-'.length);

  const packed = join(paths.workDirectory, 'vmlinux.lz4');
  const vmlinux = join(paths.target, 'vmlinux');
  await writeFile(packed, lz4PayloadOf(await readFile(join(boot, vmlinuzName))));
  await run({ step, command: ['lz4', '-dfq', packed, vmlinux] });
  if ((await readFile(vmlinux)).readUInt32BE(0) !== ELF_MAGIC) {
    throw kernelProblem('the unpacked kernel is not an ELF file');
  }

  const root = join(paths.workDirectory, 'lib/modules', kernelVersion);
  await copyModules(run, root, join(paths.target, 'modules'), MODULE_LISTS);
  await copyJobModules(run, root, join(paths.jobModules, kernelVersion));
  return { kernelVersion };
}

/** Each list beside the modules it names. */
async function copyModules(
  run: RunTool,
  root: string,
  target: string,
  lists: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  const builtin = (await readFile(join(root, 'modules.builtin'), 'utf8')).split('\n');
  const files = await findModules(root);
  const copied = new Set<string>();
  for (const [list, wanted] of Object.entries(lists)) {
    const order = await orderModules(files, builtin.map(moduleName), wanted);
    for (const path of order) {
      if (copied.has(path)) continue;
      // debug information out; the signature goes with it, which saves its check at each boot
      const to = join(target, basename(path));
      await run({ step: 'kernel', command: ['strip', '--strip-debug', '-o', to, path] });
      copied.add(path);
    }
    await writeFile(join(target, list), `${order.map((path) => basename(path)).join('\n')}\n`);
  }
}

/** As modprobe wants them, but for the index, which depmod writes: base-layer.ts. */
async function copyJobModules(run: RunTool, root: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  await copyModules(run, root, target, { 'modules.order': JOB_MODULES });
  for (const name of ['modules.builtin', 'modules.builtin.modinfo']) {
    await copyFile(join(root, name), join(target, name));
  }
}

/** Module name -> path of its file. */
async function findModules(root: string): Promise<Map<string, string>> {
  const entries = await readdir(root, { recursive: true });
  const files = entries.filter((path) => path.endsWith('.ko'));
  return new Map(files.map((path) => [moduleName(path), join(root, path)]));
}

/** Files of the wanted modules and all they depend on, dependencies first; builtin ones left out. */
export async function orderModules(
  files: ReadonlyMap<string, string>,
  builtin: readonly string[],
  wanted: readonly string[],
): Promise<string[]> {
  const order = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (builtin.includes(name)) return;
    const path = files.get(name);
    if (path === undefined) throw kernelProblem(`the kernel package has no module ${name}`);
    if (order.has(path)) return;
    for (const dependency of dependenciesOf(await readFile(path))) await visit(dependency);
    order.add(path);
  };
  for (const name of wanted) await visit(name);
  return [...order];
}

/** The `depends=` line of a module's .modinfo section. */
export function dependenciesOf(module: Buffer): string[] {
  const match = /\0depends=([^\0]*)\0/.exec(module.toString('latin1'));
  return (match?.[1] ?? '')
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName);
}

function moduleName(path: string): string {
  return basename(path).replace(/\.ko$/, '').replaceAll('-', '_');
}

function kernelProblem(what: string): ImageError {
  return new ImageError(
    'image_build_failed',
    `step kernel: ${what}; Debian's cloud kernel changed its form, and the recipe must follow`,
  );
}
