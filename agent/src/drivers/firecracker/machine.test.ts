/** The machine as Firecracker is told of it: in which order, with which values, and what is not in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATIONS } from '../../../tests/_firecracker-document.ts';
import { machineRequests } from './machine.ts';

const shape = { cpus: 3, memoryBytes: 1000 * 1024 * 1024 + 5, diskBytes: 1 };
const network = { namespacePath: '/run/netns/a', device: 'tap0', hasIpv6: true };

test('every request is one that the document has, before a start, with a body that fits it', () => {
  const requests = machineRequests({ shape, network });
  for (const { method, path, body } of requests) {
    const [, collection = '', id] = /^(\/[a-z-]+)\/([^/]+)$/.exec(path) ?? [];
    const operation = OPERATIONS.get(`${method} ${id === undefined ? path : `${collection}/*`}`);
    assert.ok(operation !== undefined, path);
    assert.equal(operation.problem(body), undefined, path);
    assert.equal(operation.when, 'pre-boot');
    if (operation.id !== undefined)
      assert.equal(new Map(Object.entries(body)).get(operation.id), id);
  }
});

test('the image is read only, the work disk is not, and both come in the order of their names', () => {
  const requests = machineRequests({ shape });
  const paths = requests.map(({ path }) => path);
  assert.deepEqual(paths, [
    ...['/logger', '/machine-config', '/boot-source', '/drives/root', '/drives/work', '/vsock'],
  ]);
  const body = (path: string) => requests.find((request) => request.path === path)?.body;
  assert.deepEqual(body('/machine-config'), {
    ...{ vcpu_count: 3, mem_size_mib: 1000, smt: false, track_dirty_pages: false },
  });
  const rate_limiter = {
    bandwidth: { size: 2 ** 30, refill_time: 1000 },
    ops: { size: 50_000, refill_time: 1000 },
  };
  const disk = { is_root_device: false, cache_type: 'Unsafe', io_engine: 'Sync', rate_limiter };
  assert.deepEqual(body('/drives/root'), {
    ...{ ...disk, drive_id: 'root', is_read_only: true, path_on_host: '/root.disk' },
  });
  assert.deepEqual(body('/drives/work'), {
    ...{ ...disk, drive_id: 'work', is_read_only: false, path_on_host: '/work.disk' },
  });
  assert.deepEqual(body('/vsock'), { guest_cid: 3, uds_path: '/vsock.sock' });
});

test('a machine with a network has one card, on its tap, and init is told of it', () => {
  for (const [hasIpv6, word] of [
    [true, 'nat6'],
    [false, 'nat4'],
  ] as const) {
    const requests = machineRequests({ shape, network: { ...network, hasIpv6 } });
    assert.deepEqual(requests.at(-1), {
      ...{ method: 'PUT', path: '/network-interfaces/network' },
      body: { iface_id: 'network', host_dev_name: 'tap0', guest_mac: '02:00:00:00:00:02' },
    });
    assert.match(JSON.stringify(requests), new RegExp(` -- ${word}"`));
  }
  assert.doesNotMatch(JSON.stringify(machineRequests({ shape })), / -- |nat\d|tap|metadata|mmds/);
});
