/**
 * What the guest image is made of: the lists and fixed values that every other module builds from.
 * Whoever changes one of them changes the image's digest.
 */

/** Debian release of the guest. Its archives are taken from the host's own apt sources. */
export const RELEASE = 'bookworm';

/**
 * Packages beside Debian's essential set and apt. What a workflow written for a CI machine takes for
 * granted and what is small: sources (git with git-lfs and ssh, curl, ca-certificates), archives (tar,
 * gzip, xz, zip, zstd), `shell: python` with its standard library, `sudo` (a no-op for root, but
 * workflows write it), jq, and what looks at or changes the machine (ip, ps, mount, openssl, modprobe).
 * Compilers are left to jobs.
 */
export const PACKAGES: readonly string[] = [
  'bash',
  'ca-certificates',
  'curl',
  'git',
  'git-lfs',
  'gzip',
  'iproute2',
  'jq',
  'kmod',
  'mount',
  'openssh-client',
  'openssl',
  'procps',
  'python-is-python3',
  'python3',
  'sudo',
  'tar',
  'unzip',
  'xz-utils',
  'zstd',
];

/** Documentation and translations nobody reads in a job; licences stay. */
export const DPKG_OPTIONS: readonly string[] = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/info/*',
];

/** Package that always depends on the newest cloud kernel of the release. */
export const KERNEL_META_PACKAGE = 'linux-image-cloud-amd64';

/** Kernel modules on the way to the root disk; those they depend on are added by themselves. */
export const BOOT_MODULES: readonly string[] = [
  'virtio_mmio',
  'virtio_blk',
  'virtio_console',
  'erofs',
  'overlay',
];

/** Those of a network card; loaded in machines that have one, which most have not. */
export const NETWORK_MODULES: readonly string[] = ['virtio_net'];

/**
 * Those that a job's programs may ask the kernel for, above all container engines: networks of containers
 * and their packet rules. On the root disk; none is loaded before somebody asks.
 */
export const JOB_MODULES: readonly string[] = [
  'br_netfilter',
  'bridge',
  'ip6table_filter',
  'ip6table_nat',
  'iptable_filter',
  'iptable_nat',
  'nf_conntrack_netlink',
  'nf_tables',
  'nft_chain_nat',
  'nft_compat',
  'nft_ct',
  'nft_masq',
  'nft_nat',
  'nft_reject_inet',
  'tun',
  'veth',
  'vxlan',
  'xt_MASQUERADE',
  'xt_addrtype',
  'xt_comment',
  'xt_conntrack',
  'xt_mark',
  'xt_multiport',
  'xt_nat',
  'xt_REDIRECT',
  'xt_set',
  'xt_tcpudp',
];

/** All times inside the image, so that the same inputs give the same bytes. Seconds since 1970. */
export const SOURCE_DATE_EPOCH = 1_760_000_000;
/** Identity of the root file system, fixed for the same reason. */
export const ROOT_UUID = '00000000-0000-0000-0000-000000000001';

/** Counts up when the steps change in a way that the lists above do not show. */
export const BASE_REVISION = 3;
export const IMAGE_REVISION = 1;

/** Name of images that this recipe built. */
export const BUILT_IMAGE_NAME = `debian-${RELEASE}`;

/** Files of an image, in its directory in the store and in an archive that is imported. */
export const IMAGE_FILES = {
  kernel: 'vmlinux',
  initrd: 'initrd.cpio.gz',
  root: 'root.erofs',
} as const;
