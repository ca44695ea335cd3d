import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWalls, findGaps, parseMounts } from './walls.ts';

/** As a scene's own process sees it. */
const SCENE = `
100 90 0:50 / / rw - overlay overlay rw,lowerdir=/
101 100 0:51 / /tmp rw - tmpfs tmpfs rw
102 100 0:52 / /run rw - tmpfs tmpfs rw
103 100 0:53 / /dev rw - tmpfs tmpfs rw,mode=755
104 103 0:54 / /dev/shm rw - tmpfs tmpfs rw
105 103 0:55 / /dev/pts rw - devpts devpts rw
106 100 0:56 / /sys ro - sysfs sysfs ro
107 106 0:57 / /sys/fs/cgroup ro - tmpfs tmpfs rw
108 107 0:58 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
109 100 0:59 / /proc rw - proc proc rw
110 109 0:59 /sys /proc/sys ro - proc proc rw
111 110 0:59 /sys/net /proc/sys/net rw - proc proc rw
112 102 0:60 / /run/onejob-prove-proc ro - proc proc ro`;

const gapsWith = (from: string, to: string): string[] => {
  assert.ok(SCENE.includes(from), from);
  return findGaps(parseMounts(SCENE.replace(from, to)));
};

test('a scene with all its walls has no gap', () => {
  assert.deepEqual(findGaps(parseMounts(SCENE)), []);
});

test('each wall that is missing is named', () => {
  const missing: readonly [from: string, to: string, gap: RegExp][] = [
    ['/ / rw - overlay overlay', '/ / rw - ext4 /dev/vda', /root directory/],
    ['/ /dev rw - tmpfs tmpfs', '/ /dev rw - devtmpfs devtmpfs', /device files/],
    ['/ /tmp rw - tmpfs', '/ /tmp rw shared:7 - tmpfs', /\/tmp is shared/],
    ['/ /run rw - tmpfs', '/ /elsewhere rw - tmpfs', /\/run is the host/],
    ['/ /sys ro - sysfs sysfs ro', '/ /sys rw - sysfs sysfs rw', /\/sys can be written/],
    ['/ /sys/fs/cgroup ro -', '/ /sys/fs/cgroup rw -', /\/sys\/fs\/cgroup can be written/],
    ['/sys /proc/sys ro', '/sys /proc/sys rw', /\/proc\/sys can be written/],
    ['/proc/sys/net rw', '/proc/sys/vm rw', /\/proc\/sys\/vm can be written/],
    ['/run/onejob-prove-proc ro - proc proc ro', '/other rw - proc proc rw', /\/other can be/],
    ['/sys/fs/cgroup/memory', '/mnt/groups', /\/mnt\/groups has the host/],
  ];
  for (const [from, to, gap] of missing) assert.match(gapsWith(from, to).join('\n'), gap);
});

test('the latest mount at a place is the one that is seen', () => {
  const covered = `${SCENE}\n120 100 0:70 / /dev rw - devtmpfs devtmpfs rw`;
  assert.match(findGaps(parseMounts(covered)).join('\n'), /device files/);
});

test('on the host itself nothing is attacked, whatever mark is given', () => {
  for (const mark of ['', 'prove', '0123456789abcdef']) {
    assert.throws(() => checkWalls(mark), /in its own namespaces only/);
  }
});
