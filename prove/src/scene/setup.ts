/**
 * The script that makes the host of a proof, run in its new namespaces: a root directory whose changes
 * are in memory, devices of its own, and of the real host's kernel only what has a namespace to be
 * changed in. Any step that fails ends it: walls.ts looks at the result once more.
 *
 * $WORK: a directory of the real disk. $NEEDED: paths with `:` between, bound where the new root does
 * not show them. $HIERARCHIES: of control groups, as groups.ts tells them. $MARK: of the proof.
 */
import { HOST_PLACE, REAL_PROC, STAND_INS } from '../attacks/world.ts';

export const MARKER = `${HOST_PLACE}/scene`;

/** Settings of the kernel that belong to a namespace: the proof has them for itself. */
export const NAMESPACED_SETTINGS = [
  ...['kernel/hostname', 'kernel/domainname', 'kernel/shmmni', 'kernel/shmmax', 'kernel/shmall'],
  ...['kernel/msgmni', 'kernel/msgmax', 'kernel/sem', 'net'],
] as const;

/** Device files by name: major, minor, mode. Made anew, so that nothing done to one is the host's. */
const DEVICES = [
  ...['null 1 3 666', 'zero 1 5 666', 'full 1 7 666', 'random 1 8 666', 'urandom 1 9 666'],
  ...['tty 5 0 666', 'kvm 10 232 600'],
] as const;

const ROOT = `
  mount --make-rprivate /
  mkdir -p "$WORK/scene"
  mount -t tmpfs -o mode=0755 tmpfs "$WORK/scene"
  mkdir "$WORK/scene/upper" "$WORK/scene/work" "$WORK/scene/root"
  new="$WORK/scene/root"
  mount -t overlay -o "lowerdir=/,upperdir=$WORK/scene/upper,workdir=$WORK/scene/work" overlay "$new"
  mkdir -p "$new/tmp" "$new/run"
  mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
  mount -t tmpfs -o mode=0755 tmpfs "$new/run"
`;

const DEVICE_FILES = `
  mount -t tmpfs -o mode=0755 tmpfs "$new/dev"
  for device in ${DEVICES.map((device) => `"${device}"`).join(' ')}; do
    set -- $device "$@"
    if [ "$1" != kvm ] || [ -c /dev/kvm ]; then mknod -m "$4" "$new/dev/$1" c "$2" "$3"; fi
    shift 4
  done
  # networks of machines begin with it
  if [ -c /dev/net/tun ]; then
    mkdir "$new/dev/net"
    mknod -m 600 "$new/dev/net/tun" c 10 200
  fi
  mkdir "$new/dev/pts" "$new/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
  ln -s pts/ptmx "$new/dev/ptmx"
  ln -s /proc/self/fd "$new/dev/fd"
`;

/** A setting that stays the real host's cannot be written, and what attacks write is a stand-in for it. */
const KERNEL = `
  mount -t sysfs -o ro sysfs "$new/sys"
  mount -t proc proc "$new/proc"
  mkdir -p "$new${REAL_PROC}" "$new/run/stand-ins"
  mount -t proc -o ro proc "$new${REAL_PROC}"
  mount --bind "$new/proc/sys" "$new/proc/sys"
  mount -o remount,bind,ro "$new/proc/sys"
  for setting in ${NAMESPACED_SETTINGS.join(' ')}; do
    [ -e "$new/proc/sys/$setting" ] || continue
    mount --bind "$new/proc/sys/$setting" "$new/proc/sys/$setting"
    mount -o remount,bind,rw "$new/proc/sys/$setting"
  done
  for entry in sysrq-trigger irq bus fs acpi; do
    [ -e "$new/proc/$entry" ] || continue
    mount --bind "$new/proc/$entry" "$new/proc/$entry"
    mount -o remount,bind,ro "$new/proc/$entry"
  done
  if [ -d "$new/proc/sys/fs/binfmt_misc" ]; then
    mount -t tmpfs -o mode=0755 tmpfs "$new/proc/sys/fs/binfmt_misc"
    : > "$new/proc/sys/fs/binfmt_misc/register"
  fi
`;

const CONTROL_GROUPS = `
  mount -t tmpfs -o mode=0755 tmpfs "$new/sys/fs/cgroup"
  mkdir "$new/sys/fs/cgroup/onejob-prove"
  : > "$new/sys/fs/cgroup/onejob-prove/release_agent"
  for controllers in $HIERARCHIES; do
    mkdir "$new/sys/fs/cgroup/$controllers"
    if [ "$controllers" != unified ]; then
      mount -t cgroup -o "$controllers" cgroup "$new/sys/fs/cgroup/$controllers"
      continue
    fi
    mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup/unified"
    # its first group hands controllers on only while no process is in it
    mkdir "$new/sys/fs/cgroup/unified/proof"
    echo $$ > "$new/sys/fs/cgroup/unified/proof/cgroup.procs"
  done
  number=0
  for path in ${STAND_INS.join(' ')}; do
    [ -f "$new$path" ] || continue
    number=$((number + 1))
    : > "$new/run/stand-ins/$number"
    mount --bind "$new/run/stand-ins/$number" "$new$path"
  done
  mount -o remount,bind,ro "$new/sys/fs/cgroup"
`;

const PLACES = `
  mkdir -p "$new$WORK"
  mount --bind "$WORK" "$new$WORK"
  IFS=:
  for path in $NEEDED; do
    [ -e "$new$path" ] && continue
    mkdir -p "$new$path"
    mount --bind "$path" "$new$path"
  done
  unset IFS
  mkdir -p "$new${HOST_PLACE}"
  echo "$MARK" > "$new${MARKER}"
  ip link set lo up
`;

/** Not chroot(2): root leaves that at will, and gets no user namespaces in it, which gVisor takes. */
const ENTER = `
  cd "$new"
  pivot_root . .
  umount -l .
  cd /
  "$@"
  exit $?
`;

/** For `sh -e`; its arguments are what runs in the new root. The shell stays the first process. */
export const SETUP = [ROOT, DEVICE_FILES, KERNEL, CONTROL_GROUPS, PLACES, ENTER].join('');
