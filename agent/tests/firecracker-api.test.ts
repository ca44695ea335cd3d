/** The client of Firecracker's API against the stand-in: states, snapshots, and what is no answer. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { FirecrackerApi } from '../src/drivers/firecracker/api.ts';
import { machineRequests } from '../src/drivers/firecracker/machine.ts';
import { FirecrackerLab } from './_firecracker-lab.ts';
import type { Fault } from './_firecracker-options.ts';

const place = await FirecrackerLab.open();
after(() => place.close());
const never = new AbortController().signal;
const put = (path: string, body: object) => ({ method: 'PUT' as const, path, body });
let count = 0;

/** A stand-in without its jailer, in a directory of its own. */
async function start(context: TestContext, fault?: Fault) {
  const directory = join(place.directory, `vmm-${count++}`);
  const { firecrackerPath } = place.programs(fault === undefined ? {} : { fault });
  mkdirSync(directory);
  const socketPath = join(directory, 'api.sock');
  const vmm: ChildProcess = spawn(firecrackerPath, ['--id', 'a', '--api-sock', socketPath], {
    cwd: directory,
    stdio: 'ignore',
  });
  context.after(async () => {
    if (vmm.exitCode !== null || vmm.signalCode !== null) return;
    vmm.kill('SIGKILL');
    await once(vmm, 'exit');
  });
  const api = new FirecrackerApi(socketPath, never);
  await api.ready();
  return { api, directory };
}

/** All that is said before a start, with files that are there. */
async function configure({ api, directory }: { api: FirecrackerApi; directory: string }) {
  const { kernelPath, initrdPath, rootPath } = place.image;
  const disk = join(directory, 'work.disk');
  writeFileSync(disk, '');
  const real = new Map([
    ['/kernel', kernelPath],
    ['/initrd', initrdPath],
    ['/root.disk', rootPath],
    ['/work.disk', disk],
    ['/vsock.sock', join(directory, 'vsock.sock')],
  ]);
  const shape = { cpus: 1, memoryBytes: 2 ** 28, diskBytes: 2 ** 28 };
  for (const request of machineRequests({ shape })) {
    const body = Object.entries(request.body).map(([name, value]) => [
      name,
      real.get(String(value)) ?? value,
    ]);
    await api.send({ ...request, body: Object.fromEntries(body) as object });
  }
}

test('a machine is started, paused, saved and resumed, and each only when it can be', async (context) => {
  const vmm = await start(context);
  const { api, directory } = vmm;
  const files = {
    snapshot_path: join(directory, 'state'),
    mem_file_path: join(directory, 'memory'),
  };
  const create = async () => await api.createSnapshot({ snapshot_type: 'Full', ...files });
  assert.equal(await api.state(), 'Not started');
  const early = /status 400: The requested operation is not supported before starting the microVM/;
  await assert.rejects(api.pause(), { code: 'boot_failed', message: early });
  await assert.rejects(create(), { message: early });
  await assert.rejects(api.start(), { message: /Cannot start microvm without kernel/ });
  await configure(vmm);
  await api.start();
  assert.equal(await api.state(), 'Running');
  await assert.rejects(create(), { message: /the microVM is not paused/ });
  await api.pause();
  assert.equal(await api.state(), 'Paused');
  await create();
  assert.ok(existsSync(files.snapshot_path) && existsSync(files.mem_file_path));
  await api.resume();
  assert.equal(await api.state(), 'Running');
  const late = put('/boot-source', { kernel_image_path: place.image.kernelPath });
  await assert.rejects(api.send(late), { message: /not supported after starting the microVM/ });
  await assert.rejects(api.start(), { message: /not supported after starting/ });

  const load = {
    snapshot_path: files.snapshot_path,
    mem_backend: { backend_type: 'File', backend_path: files.mem_file_path },
    resume_vm: false,
  } as const;
  const other = await start(context);
  await other.api.loadSnapshot({ ...load, vsock_override: { uds_path: join(directory, 'v2') } });
  assert.equal(await other.api.state(), 'Paused');
  await other.api.resume();
  assert.equal(await other.api.state(), 'Running');
  const configured = await start(context);
  await configure(configured);
  await assert.rejects(configured.api.loadSnapshot(load), {
    message: /not allowed after configuring boot-specific resources/,
  });
});

test('the stand-in takes no body that the document does not describe', async (context) => {
  const { api } = await start(context);
  const disk = {
    drive_id: 'a',
    is_root_device: false,
    is_read_only: true,
    path_on_host: '/dev/null',
  };
  const refused: [{ method: 'PUT' | 'PATCH'; path: string; body: object }, RegExp][] = [
    [put('/machine-config', { vcpu_count: 33, mem_size_mib: 1 }), /vcpu_count/],
    [put('/machine-config', { vcpu_count: 1 }), /mem_size_mib: missing field/],
    [put('/machine-config', { vcpu_count: '1', mem_size_mib: 1 }), /vcpu_count/],
    [put('/vsock', { guest_cid: 2, uds_path: '/v' }), /guest_cid/],
    [put('/vsock', { guest_cid: 3, uds_path: '/v', port: 1 }), /port: unknown field/],
    [put('/drives/b', disk), /id from the path \[b\] does not match/],
    [put('/drives/a', { ...disk, io_engine: 'Fast' }), /io_engine: unknown variant/],
    [put('/drives/a', { ...disk, path_on_host: '/not/there' }), /ENOENT/],
    [put('/network-interfaces/n', { iface_id: 'n', host_dev_name: 'no-tap' }), /tap device failed/],
    [put('/actions', { action_type: 'Start' }), /unknown variant/],
    [put('/no-such-thing', {}), /Invalid request method and\/or path: PUT \/no-such-thing/],
    [{ method: 'PATCH', path: '/vsock', body: {} }, /Invalid request method/],
    [{ method: 'PATCH', path: '/vm', body: { state: 'Stopped' } }, /unknown variant/],
  ];
  for (const [request, message] of refused) {
    await assert.rejects(api.send(request), { code: 'boot_failed', message });
  }
});

test('what is no answer of Firecracker is told as such, and bounded', async (context) => {
  let answer: Parameters<typeof createServer>[1] = () => {};
  const socketPath = join(place.directory, 'other.sock');
  const server: Server = createServer((request, response) => answer?.(request, response));
  await new Promise<void>((listening) => server.listen(socketPath, listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const api = new FirecrackerApi(socketPath, never);
  const cases: [NonNullable<typeof answer>, () => Promise<unknown>, RegExp][] = [
    [
      (_, to) => to.end('{"state":"Dancing"}'),
      () => api.state(),
      /GET \/ is not Firecracker's API/,
    ],
    [(_, to) => to.end('<html>'), () => api.ready(), /it is no JSON object/],
    [(_, to) => to.end('{}'), () => api.pause(), /refused PATCH \/vm with status 200: \{\}/],
    [(_, to) => to.writeHead(500).end(), () => api.start(), /status 500: \(no word\)/],
    [(_, to) => to.end('x'.repeat(2 ** 17)), () => api.state(), /over 65536 bytes/],
    [
      (request) => request.socket.destroy(),
      () => api.start(),
      /did not take PUT \/actions: .*doctor/,
    ],
    [
      (request, to) =>
        to.writeHead(200, { 'content-length': 9 }).write('{', () => request.socket.destroy()),
      () => api.state(),
      /did not take GET \//,
    ],
  ];
  for (const [next, ask, message] of cases) {
    answer = next;
    await assert.rejects(ask(), { code: 'boot_failed', message });
  }
  answer = () => {};
  const withdrawal = new AbortController();
  const asking = new FirecrackerApi(socketPath, withdrawal.signal).start();
  setTimeout(() => withdrawal.abort(new Error('withdrawn')), 20);
  await assert.rejects(asking, { message: 'withdrawn' });
});
