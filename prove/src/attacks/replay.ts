/** Credentials of one job, used by another one in a sandbox of its own: after its end, or beside it. */
import type { ReplayAttack } from '../attack.ts';

const TOKEN = 'TOKEN=$(printf %s "$HEX" | perl -pe "s/(..)/chr hex \\$1/ge")';
const ASK =
  'curl --silent --noproxy "*" --max-time 10 --output /dev/null --write-out "status %{http_code}"';
const SERVER =
  'git config --get-regexp extraheader | head -n 1 | sed "s/^http[.]//; s#/[.]extraheader.*##"';

/** Looks through the memory of every other process that it can read. */
const SCAN = `perl -e '
  my $wanted = pack("H*", $ENV{HEX});
  for my $pid (grep { $_ != $$ } map { m{/proc/(\\d+)$} } glob("/proc/[0-9]*")) {
    open(my $maps, "<", "/proc/$pid/maps") or next;
    open(my $memory, "<", "/proc/$pid/mem") or next;
    binmode $memory;
    while (<$maps>) {
      my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
      my ($at, $end, $rest) = (hex $from, hex $to, "");
      while ($at < $end) {
        my $length = $end - $at > 4194304 ? 4194304 : $end - $at;
        sysseek($memory, $at, 0) or last;
        my $count = sysread($memory, my $bytes, $length) or last;
        if (index($rest . $bytes, $wanted) >= 0) { print "found"; exit 0 }
        $rest = substr($bytes, -100);
        $at += $count;
      }
    }
  }
  print "looked";'`;

type Token = Pick<ReplayAttack, 'take' | 'use' | 'text'>;

const SOURCE: Token = {
  take: 'git config --get-regexp extraheader | head -n 1 | sed "s/.*basic //" | tr -d "\\n"',
  use: `${TOKEN}; server=$(${SERVER}); ${ASK} -H "Authorization: basic $TOKEN" "$server/$GITHUB_REPOSITORY/info/refs?service=git-upload-pack"`,
  text: 'status 200',
};

const CACHES: Token = {
  take: 'printf %s "$ACTIONS_RUNTIME_TOKEN"',
  use: `${TOKEN}; ${ASK} -H "Authorization: Bearer $TOKEN" "\${ACTIONS_CACHE_URL}_apis/artifactcache/cache?keys=prove&version=prove"`,
  text: 'status 20',
};

const asAttack = (
  id: string,
  title: string,
  token: Token,
  where: ReplayAttack['where'],
): ReplayAttack => ({
  kind: 'replay',
  id,
  class: 'credentials',
  title,
  where,
  expected: 'the token is refused',
  control: 'the same request of the job whose token it is',
  ...token,
});

export const replayAttacks = (): ReplayAttack[] => [
  asAttack('token-source', "reads the source with an ended job's token", SOURCE, 'later'),
  asAttack('token-caches', "asks for caches with an ended job's token", CACHES, 'later'),
  asAttack(
    'token-source-of-other',
    'reads the source with the token of another job that runs',
    SOURCE,
    'beside',
  ),
  asAttack(
    'token-caches-of-other',
    'asks for caches with the token of another job that runs',
    CACHES,
    'beside',
  ),
  {
    kind: 'replay',
    id: 'memory-of-ended',
    class: 'credentials',
    title: "finds an ended job's secret in the memory of its machine",
    where: 'later',
    expected: 'it is in no process',
    control: 'the same search in the job that has the secret',
    take: 'printf %s "$PROVE_SECRET"',
    use: SCAN,
    text: 'found',
  },
];
