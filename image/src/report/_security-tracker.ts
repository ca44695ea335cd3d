/**
 * A small extract in the form of Debian's security data, for tests: every state, urgency and mark that
 * the tracker's JSON uses, with invented weaknesses of packages that every guest image has.
 */

type Release = {
  status: 'open' | 'resolved' | 'undetermined';
  repositories: Record<string, string>;
  urgency: string;
  fixed_version?: string;
  nodsa?: string;
  nodsa_reason?: string;
};

const issue = (scope: 'local' | 'remote', bookworm: Release, description: string) => ({
  description,
  scope,
  debianbug: 1_000_000,
  releases: {
    bookworm,
    sid: {
      status: 'resolved',
      repositories: { sid: '99:1' },
      fixed_version: '99:1',
      urgency: bookworm.urgency,
    },
  },
});

const at = (version: string): Record<string, string> => ({
  bookworm: version,
  'bookworm-security': version,
});

/** Nobody rated it, as nearly all; an update of the release has the fix. */
const fixed = (decision: Pick<Release, 'nodsa' | 'nodsa_reason'> = {}): Release => ({
  status: 'resolved',
  repositories: { bookworm: '1.5-1', 'bookworm-security': '1.6-1' },
  fixed_version: '1.6-1',
  urgency: 'not yet assigned',
  ...decision,
});

/** The installed version of each package is 1.5-1. */
export const SECURITY_TRACKER = {
  openssl: {
    'CVE-2099-0001': issue(
      'remote',
      { status: 'resolved', repositories: at('1.6-1'), fixed_version: '1.6-1', urgency: 'high' },
      'A buffer is too short.',
    ),
    'CVE-2099-0002': issue(
      'remote',
      { status: 'resolved', repositories: at('1.6-1'), fixed_version: '1.5-1', urgency: 'high' },
      'It was mended in what is installed.',
    ),
    'CVE-2099-0003': issue(
      'remote',
      { status: 'resolved', repositories: at('1.6-1'), fixed_version: '0', urgency: 'medium' },
      'It never was in this release.',
    ),
    'CVE-2099-0004': issue('remote', fixed(), 'An advisory told of its fix.'),
    'CVE-2099-0005': issue(
      'remote',
      fixed({ nodsa: 'Minor issue', nodsa_reason: '' }),
      'Its fix came without haste.',
    ),
    'CVE-2099-0006': issue(
      'local',
      fixed({ nodsa: 'Minor issue', nodsa_reason: 'postponed' }),
      'Its fix waited for another.',
    ),
    'CVE-2099-0007': issue(
      'local',
      fixed({ nodsa: '', nodsa_reason: 'ignored' }),
      'Its fix came by the way.',
    ),
    'CVE-2099-0008': issue(
      'local',
      fixed({ nodsa: '', nodsa_reason: '' }),
      'Nobody said why it need not be hurried.',
    ),
    'CVE-2099-0009': issue(
      'local',
      { ...fixed(), urgency: 'unimportant' },
      'It was rated, and mended.',
    ),
  },
  glibc: {
    'CVE-2099-0010': issue(
      'local',
      { status: 'open', repositories: at('1.5-1'), urgency: 'unimportant' },
      'Only with a flag that nobody uses.',
    ),
    'CVE-2099-0011': issue(
      'remote',
      {
        status: 'open',
        repositories: at('1.5-1'),
        urgency: 'not yet assigned',
        nodsa: 'Minor issue',
        nodsa_reason: '',
      },
      'It can be mended with the next one.',
    ),
    'CVE-2099-0012': issue(
      'remote',
      { status: 'open', repositories: at('1.5-1'), urgency: 'not yet assigned' },
      'Nobody has looked yet.',
    ),
    'CVE-2099-0013': issue(
      'remote',
      { status: 'open', repositories: at('1.5-1'), urgency: 'low**' },
      'Rated by others.',
    ),
    'TEMP-0000001-ABCDEF': issue(
      'local',
      { status: 'undetermined', repositories: at('1.5-1'), urgency: 'not yet assigned' },
      'It may be here.',
    ),
  },
  linux: {
    'CVE-2099-0020': issue(
      'local',
      { status: 'open', repositories: at('6.1.1-1'), urgency: 'end-of-life' },
      'Nobody mends it.',
    ),
  },
};

const PACKAGES: readonly (readonly [name: string, source: string])[] = [
  ['libssl3', 'openssl'],
  ['openssl', 'openssl'],
  ['libc6', 'glibc'],
  ['bash', 'bash'],
];

/** Files of a root disk of Debian with these packages, and of one npm package with another inside. */
export const DEBIAN_FILES: Readonly<Record<string, string>> = {
  'etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_CODENAME=bookworm\n',
  'var/lib/dpkg/status': PACKAGES.map(([name, source]) =>
    [
      `Package: ${name}`,
      'Status: install ok installed',
      'Architecture: amd64',
      ...(name === source ? [] : [`Source: ${source}`]),
      'Version: 1.5-1',
      'Description: one of several',
      ' with: a second line',
      '',
    ].join('\n'),
  ).join('\n'),
  'usr/local/lib/node_modules/npm/package.json': '{"name":"npm","version":"11.0.0"}',
  'usr/local/lib/node_modules/npm/node_modules/@a/b/package.json':
    '{"name":"@a/b","version":"2.0.0"}',
};
